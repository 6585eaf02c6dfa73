"""The Transformer block, written in other ways."""

from __future__ import annotations

import torch
from torch.nn import functional

from grader.misconceptions.catalogue import Variant


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


def _block(name, forward):
    return Variant(f"block-{name}", "transformer_block", {"transformer.TransformerBlock.forward": forward})


VARIANTS = (
    _block("with-names", _with_names),
    _block("on-a-copy", _on_a_copy),
    _block("sequence-by-sequence", _sequence_by_sequence),
    _block("by-torch", _by_torch),
)
