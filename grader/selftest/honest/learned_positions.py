"""Learned positions, written in other ways."""

from __future__ import annotations

import torch
from torch import nn

from grader.misconceptions.catalogue import Variant

CLASS = "architecture.absolute_positions.LearnedPositions"


class _Parameter(nn.Module):
    """A parameter and a slice of it, with no Embedding behind it."""

    def __init__(self, max_seq_len, d_model, device=None, dtype=None):
        super().__init__()
        if max_seq_len <= 0:
            raise ValueError(f"no positions: {max_seq_len}")
        self.weight = nn.Parameter(torch.randn(max_seq_len, d_model, device=device, dtype=dtype) * 0.02)

    def forward(self, x, token_positions=None):
        rows, length = len(self.weight), x.shape[-2]
        if token_positions is None:
            if length > rows:
                raise ValueError(f"cannot place {length} tokens in {rows} positions")
            return x + self.weight[:length]
        if (token_positions >= rows).any() or (token_positions < 0).any():
            raise ValueError(f"positions {token_positions.tolist()} do not all exist in a table of {rows}")
        return x + torch.index_select(self.weight, 0, token_positions.flatten()).view(*token_positions.shape, -1)


def _one_hot(self, x, token_positions=None):
    """A product with rows of zeros and a one."""
    rows, length = self.weight.shape[0], x.shape[-2]
    positions = torch.arange(length, device=x.device) if token_positions is None else token_positions
    low, high = int(positions.min()), int(positions.max())
    if low < 0 or high >= rows:
        raise ValueError(f"{length} tokens at the positions {low} to {high}: the table has {rows}")
    return x + (positions[..., None] == torch.arange(rows, device=x.device)).to(x.dtype) @ self.weight


VARIANTS = (
    Variant("positions-as-parameter", "learned_positions", {CLASS: _Parameter}),
    Variant("positions-one-hot", "learned_positions", {f"{CLASS}.forward": _one_hot}),
)
