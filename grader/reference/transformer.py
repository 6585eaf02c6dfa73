"""The Transformer block and the language model made of it.

Notable choices, most of them those of Llama and its descendants:

- pre-norm: each block normalises the inputs of attention and feed-forward network, not their outputs, so that a path
  without any norm leads from the embedding to the last block; one more norm comes before the head
- RMSNorm with a gain, no LayerNorm: no mean is subtracted; eps 1e-5, computed in float32 for half-precision inputs
- no biases, neither in linear maps nor in norms; no dropout
- RoPE in every layer, on queries and keys, no position embeddings; it rotates pairs of neighbouring features, as Meta's
  Llama does (GPT-NeoX and Hugging Face's port of Llama pair feature k with feature k + d_k / 2)
- as many key and value heads as query heads; a head owns contiguous rows of the projections; scores over sqrt(d_k)
- SwiGLU: a gated SiLU with three matrices, with d_ff about 8/3 d_model instead of 4 d_model
- the head is not tied to the embedding; the model returns logits
- weights are initialised from a normal distribution truncated at three standard deviations: variance 2 / (d_in + d_out)
  in linear maps, 1 in the embedding; gains start at 1. Nothing is scaled by depth, and no projection starts at zero

Each of the last three parameters of both classes reverses one of these choices. Only the experiments at the end of the
assignment need them: they measure what each choice is worth.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .attention import CausalMultiHeadSelfAttention
from .layers import Embedding, Linear, RMSNorm, SiLUFeedForward, SwiGLU

Norm = Literal["pre", "post", "none"]
Position = Literal["rope", "none"]
FeedForward = Literal["swiglu", "silu"]


class TransformerBlock(nn.Module):
    """One pre-norm Transformer block: causal self-attention with RoPE, then SwiGLU, each with a residual
    connection.

        y = x + attn(ln1(x))
        output = y + ffn(ln2(y))

    The submodules are `attn` (CausalMultiHeadSelfAttention), `ffn` (SwiGLU), `ln1` and `ln2` (RMSNorm, eps
    1e-5).

    Each ablation changes one thing. Post-norm (Vaswani et al., 2017) normalises the sums instead:

        y = ln1(x + attn(x))
        output = ln2(y + ffn(y))

    Args:
        d_model: size of the last dimension of input and output.
        num_heads: number of attention heads; divides d_model.
        d_ff: size of the feed-forward network's hidden dimension.
        max_seq_len: RoPE's positions run from 0 to max_seq_len - 1.
        theta: base of RoPE's wavelengths.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.
        norm: "pre" or "post"; "none" removes RMSNorm and with it the parameters of `ln1` and `ln2`.
        position: "rope", or "none" for attention without position information.
        ffn: "swiglu", or "silu" for a SiLUFeedForward.

    Problem: transformer_block
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        max_seq_len: int,
        theta: float,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        norm: Norm = "pre",
        position: Position = "rope",
        ffn: FeedForward = "swiglu",
    ) -> None:
        super().__init__()
        self.norm = norm
        base = theta if position == "rope" else None
        feed_forward = SwiGLU if ffn == "swiglu" else SiLUFeedForward
        self.ln1 = _make_norm(norm, d_model, device, dtype)
        self.attn = CausalMultiHeadSelfAttention(d_model, num_heads, max_seq_len, base, device, dtype)
        self.ln2 = _make_norm(norm, d_model, device, dtype)
        self.ffn = feed_forward(d_model, d_ff, device, dtype)

    def forward(
        self, x: Float[Tensor, " ... seq d_model"], token_positions: Int[Tensor, " ... seq"] | None = None
    ) -> Float[Tensor, " ... seq d_model"]:
        """Apply the block; `token_positions` is passed to the attention; None means 0, 1, 2, ..."""
        if self.norm == "post":
            x = self.ln1(x + self.attn(x, token_positions))
            return self.ln2(x + self.ffn(x))
        x = x + self.attn(self.ln1(x), token_positions)
        return x + self.ffn(self.ln2(x))


class TransformerLM(nn.Module):
    """A decoder-only Transformer language model: token ids in, a score for every possible next token out.

    `token_embeddings` (Embedding), then `layers` (an nn.ModuleList of TransformerBlock), then `ln_final`
    (RMSNorm, eps 1e-5), then `lm_head` (Linear to vocab_size, not tied to the embedding).

    Args:
        vocab_size: number of token ids.
        context_length: length of the longest sequence that the model takes.
        d_model: size of the vectors between layers.
        num_layers: number of blocks.
        num_heads: number of attention heads per block; divides d_model.
        d_ff: size of the feed-forward networks' hidden dimension.
        rope_theta: base of RoPE's wavelengths.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.
        norm, position, ffn: as for TransformerBlock. "post" keeps `ln_final`; "none" removes it.

    Problem: transformer_lm
    """

    def __init__(
        self,
        vocab_size: int,
        context_length: int,
        d_model: int,
        num_layers: int,
        num_heads: int,
        d_ff: int,
        rope_theta: float,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        norm: Norm = "pre",
        position: Position = "rope",
        ffn: FeedForward = "swiglu",
    ) -> None:
        super().__init__()
        self.context_length = context_length
        self.token_embeddings = Embedding(vocab_size, d_model, device, dtype)
        self.layers = nn.ModuleList(
            TransformerBlock(
                d_model,
                num_heads,
                d_ff,
                context_length,
                rope_theta,
                device,
                dtype,
                norm=norm,
                position=position,
                ffn=ffn,
            )
            for _ in range(num_layers)
        )
        self.ln_final = _make_norm(norm, d_model, device, dtype)
        self.lm_head = Linear(d_model, vocab_size, device, dtype)

    def forward(self, token_ids: Int[Tensor, " ... seq"]) -> Float[Tensor, " ... seq vocab_size"]:
        """Score every next token at every position: logits, not probabilities.

        A sequence may be shorter than context_length; a longer one raises ValueError.
        """
        seq_len = token_ids.shape[-1]
        if seq_len > self.context_length:
            raise ValueError(
                f"The sequence has {seq_len} tokens, but the model takes at most {self.context_length} (its "
                f"context_length); pass the last {self.context_length} of them."
            )
        x = self.token_embeddings(token_ids)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.ln_final(x))


def _make_norm(
    norm: Norm, d_model: int, device: torch.device | str | None, dtype: torch.dtype | None
) -> RMSNorm | nn.Identity:
    return nn.Identity() if norm == "none" else RMSNorm(d_model, device=device, dtype=dtype)
