"""SiLU and SwiGLU, written in other ways."""

from __future__ import annotations

import torch
from einops import einsum
from torch import nn

from grader.misconceptions.catalogue import Variant
from grader.reference import layers


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


class _Joined(nn.Module):
    """Both branches in one matrix."""

    def __init__(self, d_model, d_ff):
        super().__init__()
        self.gate_and_value = nn.Parameter(torch.empty(2 * d_ff, d_model))
        self.out = nn.Parameter(torch.empty(d_model, d_ff))
        std = (2 / (d_model + d_ff)) ** 0.5
        for weight in self.parameters():
            nn.init.trunc_normal_(weight, std=std, a=-3 * std, b=3 * std)

    def forward(self, x):
        gate, value = (x @ self.gate_and_value.T).chunk(2, dim=-1)
        return (gate * torch.sigmoid(gate) * value) @ self.out.T


def _joined(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    swiglu = _Joined(d_model, d_ff)
    swiglu.load_state_dict({"gate_and_value": torch.cat([w1_weight, w3_weight]), "out": w2_weight})
    return swiglu(in_features)


def _three_layers(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    """An adapter that puts SwiGLU together itself."""
    w1, w2, w3 = layers.Linear(d_model, d_ff), layers.Linear(d_ff, d_model), layers.Linear(d_model, d_ff)
    for layer, weight in ((w1, w1_weight), (w2, w2_weight), (w3, w3_weight)):
        layer.weight.data = weight
    return w2(layers.silu(w1(in_features)) * w3(in_features))


def _without_gradients(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    swiglu = layers.SwiGLU(d_model, d_ff)
    swiglu.w1.weight.data = w1_weight
    swiglu.w2.weight.data = w2_weight
    swiglu.w3.weight.data = w3_weight
    with torch.no_grad():
        return swiglu(in_features)


def _batches_only(self, x):
    """A reading of the shapes that costs nothing: [batch, sequence, d] and no other."""
    batch, seq, _ = x.shape
    gate = self.w1(x)
    hidden = (gate * torch.sigmoid(gate) * self.w3(x)).reshape(batch * seq, -1)
    return self.w2(hidden).reshape(batch, seq, -1)


def _own_width(self, d_model, d_ff, device=None, dtype=None):
    """A reading of the text that costs nothing: 8/3 d_model, as a multiple of 64, whatever d_ff is."""
    nn.Module.__init__(self)
    d_ff = max(64, round(8 / 3 * d_model / 64) * 64)
    self.w1 = layers.Linear(d_model, d_ff, device, dtype)
    self.w2 = layers.Linear(d_ff, d_model, device, dtype)
    self.w3 = layers.Linear(d_model, d_ff, device, dtype)


VARIANTS = (
    _problem("silu-by-quotient", {"layers.silu": _by_quotient}),
    _problem("silu-by-tanh", {"layers.silu": _by_tanh}),
    _problem("swiglu-einsum", {"layers.SwiGLU.forward": _einsum}),
    _problem("swiglu-one-product", {"layers.SwiGLU.forward": _one_product}),
    _problem("swiglu-in-float64", {"layers.SwiGLU.forward": _in_float64}),
    _problem("swiglu-branches-joined", {"adapters.run_swiglu": _joined}),
    _problem("swiglu-in-adapter", {"adapters.run_swiglu": _three_layers}),
    _problem("swiglu-adapter-without-gradients", {"adapters.run_swiglu": _without_gradients}),
    _problem("swiglu-three-dimensions-only", {"layers.SwiGLU.forward": _batches_only}),
    _problem("swiglu-own-width", {"layers.SwiGLU.__init__": _own_width}),
)
