"""Rotary position embedding (RoPE): attention scores that depend on how far apart two positions are."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class RotaryPositionalEmbedding(nn.Module):
    """Rotates pairs of neighbouring features by angles that grow with the position.

    The features (2k, 2k + 1) of the vector at position i, for k = 0 .. d_k/2 - 1, are rotated by theta_{i,k}
    (Su et al., 2021, section 3.4):

        [ cos theta_{i,k}   -sin theta_{i,k} ]
        [ sin theta_{i,k}    cos theta_{i,k} ]        theta_{i,k} = i / theta^(2k / d_k)

    The dot product of two rotated vectors then depends only on the difference of their positions. Nothing is learned:
    there are no parameters, and nothing is in the state dict.

    Args:
        theta: the base of the wavelengths, often 10000.
        d_k: size of the last dimension of the input; even.
        max_seq_len: positions run from 0 to max_seq_len - 1.
        device: where cos and sin are stored; None means torch's default.

    Raises:
        ValueError: d_k is odd.

    Problem: rope
    """

    def __init__(self, theta: float, d_k: int, max_seq_len: int, device: torch.device | str | None = None) -> None:
        raise NotImplementedError("rope: write RotaryPositionalEmbedding.__init__ in cs336_basics/rope.py")

    def forward(
        self, x: Float[Tensor, " ... seq d_k"], token_positions: Int[Tensor, " ... seq"]
    ) -> Float[Tensor, " ... seq d_k"]:
        """Rotate every vector of `x` by its position; the result has the shape and dtype of `x`.

        `token_positions` gives the position of every vector: in any order, repeated, or starting above 0. Its leading
        dimensions broadcast to those of `x`, aligned on the right as always in torch. Shape [seq] works for every `x`;
        if `x` is [batch, heads, seq, d_k], positions that differ by sequence must have the shape [batch, 1, seq]. A
        position of max_seq_len or more raises IndexError.
        """
        raise NotImplementedError("rope: write RotaryPositionalEmbedding.forward in cs336_basics/rope.py")
