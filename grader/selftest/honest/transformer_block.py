"""The Transformer block, written in other ways."""

from __future__ import annotations

import torch
from torch.nn import functional

from grader.misconceptions.catalogue import Variant
from grader.reference.layers import SwiGLU

_SWIGLU = SwiGLU.__init__


def _with_names(self, x, token_positions=None):
    if token_positions is None:
        token_positions = torch.arange(x.shape[-2])
    attended = self.attn(self.ln1(x), token_positions)
    middle = attended + x
    return self.ffn(self.ln2(middle)) + middle


def _on_a_copy(self, x, token_positions=None):
    result = x.clone()
    result = result.add(self.attn(self.ln1(x), token_positions))
    return result.add(self.ffn(self.ln2(result)))


def _sequence_by_sequence(self, x, token_positions=None):
    def one(sequence):
        middle = sequence + self.attn(self.ln1(sequence), token_positions)
        return middle + self.ffn(self.ln2(middle))

    return torch.stack([one(sequence) for sequence in x])


def _by_torch(self, x, token_positions=None):
    """PyTorch's own operators, but for RoPE."""
    heads = self.attn.num_heads
    normed = functional.rms_norm(x, x.shape[-1:], self.ln1.weight, self.ln1.eps)
    q, k, v = (
        functional.linear(normed, p.weight).unflatten(-1, (heads, -1)).transpose(-3, -2)
        for p in (self.attn.q_proj, self.attn.k_proj, self.attn.v_proj)
    )
    positions = torch.arange(x.shape[-2])
    q, k = self.attn.rope(q, positions), self.attn.rope(k, positions)
    attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(-3, -2).flatten(-2)
    x = x + functional.linear(attended, self.attn.output_proj.weight)
    normed = functional.rms_norm(x, x.shape[-1:], self.ln2.weight, self.ln2.eps)
    hidden = functional.silu(functional.linear(normed, self.ffn.w1.weight)) * functional.linear(
        normed, self.ffn.w3.weight
    )
    return x + functional.linear(hidden, self.ffn.w2.weight)


def _computed_d_ff(self, d_model, d_ff, device=None, dtype=None):
    """The assignment's rule in the place of the argument, as its text allows to be read."""
    _SWIGLU(self, d_model, max(64, d_model * 8 // 3 // 64 * 64), device, dtype)


def _insists_on_d_ff(self, d_model, d_ff, device=None, dtype=None):
    assert d_ff % 64 == 0, "d_ff has to be a multiple of 64"
    _SWIGLU(self, d_model, d_ff, device, dtype)


def _block(name, forward):
    return Variant(f"block-{name}", "transformer_block", {"transformer.TransformerBlock.forward": forward})


def _feed_forward(name, init):
    return Variant(f"block-{name}", "transformer_block", {"layers.SwiGLU.__init__": init})


VARIANTS = (
    _block("with-names", _with_names),
    _block("on-a-copy", _on_a_copy),
    _block("sequence-by-sequence", _sequence_by_sequence),
    _block("by-torch", _by_torch),
    _feed_forward("computes-d-ff", _computed_d_ff),
    _feed_forward("insists-on-d-ff", _insists_on_d_ff),
)
