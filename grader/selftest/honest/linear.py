"""Linear, written in other ways."""

from __future__ import annotations

import torch
from einops import einsum
from torch import nn

from grader.misconceptions.catalogue import Variant
from grader.reference import layers


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


def _functional(d_in, d_out, weights, in_features):
    """An adapter that builds no layer: nothing is to be seen of one."""
    return in_features @ weights.T


def _without_gradients(d_in, d_out, weights, in_features):
    """An adapter that makes its layer in the default type, assigns the weight, and calls it with gradients off."""
    linear = layers.Linear(d_in, d_out)
    linear.weight.data = weights
    with torch.no_grad():
        return linear(in_features)


def _copying(d_in, d_out, weights, in_features):
    linear = layers.Linear(d_in, d_out)
    with torch.no_grad():
        linear.weight.copy_(weights)
    return linear.forward(in_features)


def _empty(self, in_features, out_features, device=None, dtype=None):
    nn.Module.__init__(self)
    self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))


def _started_by_adapter(d_in, d_out, weights, in_features):
    """A layer that gets its first weight from a method of torch.nn.Module's, after the constructor."""
    std = (2 / (d_in + d_out)) ** 0.5

    def start(module: nn.Module) -> None:
        nn.init.trunc_normal_(next(module.parameters()), std=std, a=-3 * std, b=3 * std)

    linear = layers.Linear(d_in, d_out, weights.device, weights.dtype)
    linear.apply(start)
    linear.load_state_dict({"weight": weights})
    return linear(in_features)


def _given_at_birth(d_in, d_out, weights, in_features):
    """A class of the adapter's own, which takes the weight: no first value is to be seen."""

    class Given(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(weights.clone())

        def forward(self, x):
            return x @ self.kernel.T

    return Given()(in_features)


def _batches_only(self, x):
    """A reading of the shapes that costs nothing: [batch, sequence, d] and no other."""
    return torch.einsum("b s i, o i -> b s o", x, self.weight)


VARIANTS = (
    Variant("linear-einops", "linear", {"layers.Linear.forward": _einops}),
    Variant("linear-broadcast-sum", "linear", {"layers.Linear.forward": _broadcast_sum}),
    Variant("linear-column-by-column", "linear", {"layers.Linear.forward": _column_by_column}),
    Variant("linear-in-float64", "linear", {"layers.Linear.forward": _in_float64}),
    Variant("linear-initialised-by-resampling", "linear", {"layers.Linear.__init__": _initialised_by_resampling}),
    Variant("linear-functional-adapter", "linear", {"adapters.run_linear": _functional}),
    Variant("linear-adapter-without-gradients", "linear", {"adapters.run_linear": _without_gradients}),
    Variant("linear-adapter-that-copies", "linear", {"adapters.run_linear": _copying}),
    Variant(
        "linear-started-by-adapter",
        "linear",
        {"layers.Linear.__init__": _empty, "adapters.run_linear": _started_by_adapter},
    ),
    Variant("linear-given-its-weight", "linear", {"adapters.run_linear": _given_at_birth}),
    Variant("linear-three-dimensions-only", "linear", {"layers.Linear.forward": _batches_only}),
)
