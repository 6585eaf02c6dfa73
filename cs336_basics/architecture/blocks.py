"""Transformer blocks whose norms and branches stand elsewhere than in the base model's."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

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
        raise NotImplementedError(
            "norm_placement: write NormPlacementBlock.__init__ in cs336_basics/architecture/blocks.py"
        )

    def forward(self, x: Float[Tensor, " ... seq d_model"]) -> Float[Tensor, " ... seq d_model"]:
        """Apply the block at positions 0, 1, 2, ..."""
        raise NotImplementedError(
            "norm_placement: write NormPlacementBlock.forward in cs336_basics/architecture/blocks.py"
        )


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
        raise NotImplementedError("parallel_block: write ParallelBlock.__init__ in cs336_basics/architecture/blocks.py")

    def forward(self, x: Float[Tensor, " ... seq d_model"]) -> Float[Tensor, " ... seq d_model"]:
        """Apply the block at positions 0, 1, 2, ..."""
        raise NotImplementedError("parallel_block: write ParallelBlock.forward in cs336_basics/architecture/blocks.py")
