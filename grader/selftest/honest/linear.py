"""Linear, written in other ways."""

from __future__ import annotations

import torch
from einops import einsum
from torch import nn

from grader.misconceptions.catalogue import Variant


def _einops(self, x):
    return einsum(self.weight, x, "d_out d_in, ... d_in -> ... d_out")


def _broadcast_sum(self, x):
    return (x.unsqueeze(-2) * self.weight).sum(-1)


def _column_by_column(self, x):
    return torch.stack([(x * row).sum(-1) for row in self.weight], dim=-1)


def _in_float64(self, x):
    return torch.tensordot(x.double(), self.weight.double(), dims=([-1], [1])).to(x.dtype)


def _initialised_by_resampling(self, in_features, out_features, device=None, dtype=None):
    nn.Module.__init__(self)
    values = torch.randn(out_features, in_features, device=device, dtype=dtype)
    while (far := values.abs() > 3).any():
        values[far] = torch.randn(int(far.sum()), device=device, dtype=dtype)
    self.weight = nn.Parameter(values * (2 / (in_features + out_features)) ** 0.5)


VARIANTS = (
    Variant("linear-einops", "linear", {"layers.Linear.forward": _einops}),
    Variant("linear-broadcast-sum", "linear", {"layers.Linear.forward": _broadcast_sum}),
    Variant("linear-column-by-column", "linear", {"layers.Linear.forward": _column_by_column}),
    Variant("linear-in-float64", "linear", {"layers.Linear.forward": _in_float64}),
    Variant("linear-initialised-by-resampling", "linear", {"layers.Linear.__init__": _initialised_by_resampling}),
)
