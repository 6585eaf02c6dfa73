"""Activation functions, written in other ways."""

from __future__ import annotations

import math

import torch

from grader.misconceptions.catalogue import Variant


def _where(x):
    return torch.where(x > 0, x, torch.zeros_like(x))


def _by_maximum(x):
    return torch.maximum(x, x.new_zeros(())) ** 2


def _half_times_square(x):
    return x * (x + x.abs()) / 2


def _by_erfc(x):
    return x * torch.special.ndtr(x)


def _by_exponential(x):
    """1 + tanh(z) = 2 sigmoid(2 z)."""
    return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * x * (1 + 0.044715 * x * x))


def _by_tanh(x, beta=1.0):
    return x * (1 + torch.tanh(beta * x / 2)) / 2


def _masked(x, alpha=1.0):
    negative = x.clamp(max=0)
    return torch.where(x > 0, x, alpha * (negative.exp() - 1))


def _by_minimum(x):
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * (
        torch.maximum(x, x.new_zeros(())) + torch.minimum(x.new_zeros(()), alpha * torch.expm1(x.clamp(max=0)))
    )


def _in_float64(x):
    return (0.5 * x.double() * (1 + torch.erf(x.double() / 2**0.5))).to(x.dtype)


def _table(name, beta=1.0, alpha=1.0):
    from grader.reference.architecture import activations

    known = {one: getattr(activations, one) for one in activations.ACTIVATIONS}
    if name not in known:
        raise ValueError(f"{name} is not one of {sorted(known)}")
    options = {"swish": {"beta": beta}, "elu": {"alpha": alpha}}.get(name, {})
    return lambda x: known[name](x, **options)


def _activation(id, **replaces):
    return Variant(id, "activations", {f"architecture.activations.{name}": f for name, f in replaces.items()})


VARIANTS = (
    _activation("relu-where", relu=_where, squared_relu=_half_times_square),
    _activation("squared-relu-by-maximum", squared_relu=_by_maximum),
    _activation("gelu-by-ndtr", gelu=_by_erfc, gelu_tanh=_by_exponential),
    _activation("gelu-in-float64", gelu=_in_float64),
    _activation("swish-by-tanh", swish=_by_tanh, elu=_masked),
    _activation("selu-by-minimum", selu=_by_minimum),
    _activation("table-of-names", activation=_table),
)
