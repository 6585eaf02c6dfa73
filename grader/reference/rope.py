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
        super().__init__()
        if d_k % 2:
            raise ValueError(f"RoPE rotates features in pairs, but d_k is {d_k}; choose an even d_k.")
        self.theta = theta
        self.d_k = d_k
        self.max_seq_len = max_seq_len
        self._table = self._tabulate(torch.float32, device)

    def forward(
        self, x: Float[Tensor, " ... seq d_k"], token_positions: Int[Tensor, " ... seq"]
    ) -> Float[Tensor, " ... seq d_k"]:
        """Rotate every vector of `x` by its position; the result has the shape and dtype of `x`.

        `token_positions` gives the position of every vector: in any order, repeated, or starting above 0. Its leading
        dimensions broadcast to those of `x`, aligned on the right as always in torch. Shape [seq] works for every `x`;
        if `x` is [batch, heads, seq, d_k], positions that differ by sequence must have the shape [batch, 1, seq]. A
        position of max_seq_len or more raises IndexError.
        """
        precision = torch.promote_types(x.dtype, torch.float32)
        if (self._table.dtype, self._table.device) != (precision, x.device):
            self._table = self._tabulate(precision, x.device)
        # A pair of features is a complex number, and one complex product rotates it: several times faster
        # than four real products on strided halves. The copy is aligned as complex numbers must be.
        turns = torch.view_as_complex(self._table[token_positions])
        pairs = x.to(precision).unflatten(-1, (-1, 2)).clone(memory_format=torch.contiguous_format)
        pairs = torch.view_as_complex(pairs)
        return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)

    def _tabulate(self, dtype: torch.dtype, device: torch.device | str | None) -> Tensor:
        """cos and sin of every angle, side by side: [max_seq_len, d_k / 2, 2].

        Not a buffer, because `model.to(dtype)` would round it: to bfloat16 for good, or to a float64 that is
        no more exact than float32. Angles are taken in float64 (on the CPU: not every device has it), as a
        float32 angle near 10,000 is off by up to 5e-4 radians.
        """
        positions = torch.arange(self.max_seq_len, dtype=torch.float64, device="cpu")
        features = torch.arange(0, self.d_k, 2, dtype=torch.float64, device="cpu")
        angles = torch.outer(positions, self.theta ** (-features / self.d_k))
        return torch.stack((angles.cos(), angles.sin()), dim=-1).to(dtype).to(device)
