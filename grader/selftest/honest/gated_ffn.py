"""Gated feed-forward networks, written in other ways."""

from __future__ import annotations

import math

import torch
from einops import einsum

from grader.misconceptions.catalogue import Variant


def _one_product(self, x):
    """The weights of both branches joined, as fused kernels want them."""
    gate, value = (x @ torch.cat([self.w1.weight, self.w3.weight]).T).chunk(2, dim=-1)
    return (self.gate(gate) * value) @ self.w2.weight.T


def _einsum(self, x):
    hidden = self.gate(einsum(x, self.w1.weight, "... d, f d -> ... f")) * einsum(
        x, self.w3.weight, "... d, f d -> ... f"
    )
    return einsum(hidden, self.w2.weight, "... f, d f -> ... d")


def _in_adapter(d_model, d_ff, gate, w1_weight, w2_weight, w3_weight, in_features):
    functions = {
        "glu": lambda z: 1 / (1 + torch.exp(-z)),
        "bilinear": lambda z: z,
        "reglu": lambda z: torch.where(z > 0, z, 0),
        "geglu": lambda z: z * torch.special.ndtr(z),
        "swiglu": lambda z: z / (1 + torch.exp(-z)),
    }
    if gate not in functions:
        raise ValueError(f"gate must be one of {list(functions)}, not {gate}")
    return functions[gate](in_features @ w1_weight.T) * (in_features @ w3_weight.T) @ w2_weight.T


def _as_llama_says_it(plain_d_ff, multiple_of=1):
    if plain_d_ff <= 0 or multiple_of <= 0:
        raise ValueError(f"plain_d_ff={plain_d_ff} and multiple_of={multiple_of} must be positive")
    hidden = int(2 * plain_d_ff / 3)
    return multiple_of * ((hidden + multiple_of - 1) // multiple_of)


def _by_ceil(plain_d_ff, multiple_of=1):
    if min(plain_d_ff, multiple_of) < 1:
        raise ValueError(f"need numbers of at least 1, got {plain_d_ff} and {multiple_of}")
    return math.ceil(math.floor(plain_d_ff * 2 / 3) / multiple_of) * multiple_of


def _gated(id, **replaces):
    return Variant(id, "gated_ffn", {f"architecture.feed_forward.{name}": f for name, f in replaces.items()})


VARIANTS = (
    _gated("one-product", **{"GatedFeedForward.forward": _one_product}),
    _gated("einsum", **{"GatedFeedForward.forward": _einsum}),
    Variant("gated-ffn-in-adapter", "gated_ffn", {"adapters.run_gated_ffn": _in_adapter}),
    _gated("width-as-llama-says-it", gated_d_ff=_as_llama_says_it),
    _gated("width-by-ceil", gated_d_ff=_by_ceil),
)
