"""Transformer blocks whose norms and branches stand elsewhere than in the base model's."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..attention import CausalMultiHeadSelfAttention
from ..layers import RMSNorm, SwiGLU

PLACEMENTS = ("pre", "post", "branch", "double")


class NormPlacementBlock(nn.Module):
    """A Transformer block whose `placement` says where its norms stand, for either branch f:

        pre:    x + f(ln(x))              GPT-2, Llama (Xiong et al., 2020)
        post:   ln(x + f(x))              the original Transformer, BERT: the stream itself is normalised
        branch: x + ln(f(x))              OLMo 2: only what is added is normalised
        double: x + ln_out(f(ln(x)))      Gemma 2: before and after the branch, inside of the residual connection

    Attention comes first, then the feed-forward network, which reads what the first half gives. The submodules are
    `attn` (CausalMultiHeadSelfAttention with RoPE), `ffn` (SwiGLU), and RMSNorms with eps 1e-5: `ln1` for attention and
    `ln2` for the feed-forward network; "double" also has `ln1_out` and `ln2_out`.

    Args:
        d_model: size of the last dimension of input and output.
        num_heads: number of attention heads; divides d_model.
        d_ff: size of the feed-forward network's hidden dimension.
        max_seq_len: RoPE's positions run from 0 to max_seq_len - 1.
        theta: base of RoPE's wavelengths.
        placement: one of PLACEMENTS.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.

    Raises:
        ValueError: there is no such placement; the message has the name, and those that there are.

    Problem: norm_placement
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        max_seq_len: int,
        theta: float,
        placement: str,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if placement not in PLACEMENTS:
            raise ValueError(f"no placement is called {placement!r}; there are {', '.join(PLACEMENTS)}.")
        self.placement = placement
        self.attn = CausalMultiHeadSelfAttention(d_model, num_heads, max_seq_len, theta, device, dtype)
        self.ffn = SwiGLU(d_model, d_ff, device, dtype)
        self.ln1 = RMSNorm(d_model, device=device, dtype=dtype)
        self.ln2 = RMSNorm(d_model, device=device, dtype=dtype)
        if placement == "double":
            self.ln1_out = RMSNorm(d_model, device=device, dtype=dtype)
            self.ln2_out = RMSNorm(d_model, device=device, dtype=dtype)

    def forward(self, x: Float[Tensor, " ... seq d_model"]) -> Float[Tensor, " ... seq d_model"]:
        """Apply the block at positions 0, 1, 2, ..."""
        match self.placement:
            case "pre":
                x = x + self.attn(self.ln1(x))
                return x + self.ffn(self.ln2(x))
            case "post":
                x = self.ln1(x + self.attn(x))
                return self.ln2(x + self.ffn(x))
            case "branch":
                x = x + self.ln1(self.attn(x))
                return x + self.ln2(self.ffn(x))
        x = x + self.ln1_out(self.attn(self.ln1(x)))
        return x + self.ln2_out(self.ffn(self.ln2(x)))


class ParallelBlock(nn.Module):
    """A Transformer block whose branches stand side by side, and both read its input:

        shared norm:  x + attn(ln1(x)) + ffn(ln1(x))      GPT-J, PaLM, Cohere
        two norms:    x + attn(ln1(x)) + ffn(ln2(x))      GPT-NeoX

    The submodules are `attn` (CausalMultiHeadSelfAttention with RoPE), `ffn` (SwiGLU), `ln1` and, unless the norm is
    shared, `ln2` (RMSNorm, eps 1e-5).

    Args:
        d_model: size of the last dimension of input and output.
        num_heads: number of attention heads; divides d_model.
        d_ff: size of the feed-forward network's hidden dimension.
        max_seq_len: RoPE's positions run from 0 to max_seq_len - 1.
        theta: base of RoPE's wavelengths.
        shared_norm: whether both branches read the output of one norm.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.

    Problem: parallel_block
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        max_seq_len: int,
        theta: float,
        shared_norm: bool,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.attn = CausalMultiHeadSelfAttention(d_model, num_heads, max_seq_len, theta, device, dtype)
        self.ffn = SwiGLU(d_model, d_ff, device, dtype)
        self.ln1 = RMSNorm(d_model, device=device, dtype=dtype)
        self.ln2 = None if shared_norm else RMSNorm(d_model, device=device, dtype=dtype)

    def forward(self, x: Float[Tensor, " ... seq d_model"]) -> Float[Tensor, " ... seq d_model"]:
        """Apply the block at positions 0, 1, 2, ..."""
        normed = self.ln1(x)
        return x + self.attn(normed) + self.ffn(normed if self.ln2 is None else self.ln2(x))
