"""SiLU and SwiGLU, written in other ways."""

from __future__ import annotations

import torch
from einops import einsum

from grader.misconceptions.catalogue import Variant


def _by_quotient(x):
    return x / (1 + torch.exp(-x))


def _by_tanh(x):
    return x * (0.5 + 0.5 * torch.tanh(x / 2))


def _einsum(self, x):
    gate = einsum(x, self.w1.weight, "... d_model, d_ff d_model -> ... d_ff")
    value = einsum(x, self.w3.weight, "... d_model, d_ff d_model -> ... d_ff")
    return einsum(gate * gate.sigmoid() * value, self.w2.weight, "... d_ff, d_model d_ff -> ... d_model")


def _one_product(self, x):
    both = x @ torch.cat([self.w3.weight, self.w1.weight]).T
    value, gate = both.chunk(2, dim=-1)
    return self.w2(value * gate * torch.sigmoid(gate))


def _in_float64(self, x):
    wide = x.double()
    gate, value = wide @ self.w1.weight.T.double(), wide @ self.w3.weight.T.double()
    return ((gate / (1 + (-gate).exp()) * value) @ self.w2.weight.T.double()).to(x.dtype)


def _problem(name, replaces):
    return Variant(name, "positionwise_feedforward", replaces)


VARIANTS = (
    _problem("silu-by-quotient", {"layers.silu": _by_quotient}),
    _problem("silu-by-tanh", {"layers.silu": _by_tanh}),
    _problem("swiglu-einsum", {"layers.SwiGLU.forward": _einsum}),
    _problem("swiglu-one-product", {"layers.SwiGLU.forward": _one_product}),
    _problem("swiglu-in-float64", {"layers.SwiGLU.forward": _in_float64}),
)
