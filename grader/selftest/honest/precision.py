"""Rounding, accumulation, loss scaling and master weights, written in other ways."""

from __future__ import annotations

import math

import torch

from grader.misconceptions.catalogue import Variant


def _range(exponent_bits, mantissa_bits):
    if exponent_bits < 2 or exponent_bits > 8:
        raise ValueError(f"{exponent_bits} exponent bits")
    if mantissa_bits < 1 or mantissa_bits > 23:
        raise ValueError(f"{mantissa_bits} mantissa bits")


def _on_bits(x, exponent_bits, mantissa_bits):
    """By the bits of float32: add half of the last place less one, and the last bit that stays; then cut."""
    _range(exponent_bits, mantissa_bits)
    top = 2 ** (exponent_bits - 1) - 1
    bits = x.float().view(torch.int32).long()
    sign, size = bits & 0x80000000, bits & 0x7FFFFFFF
    # A subnormal number of the format has fewer bits than a normal one, and one of float32 has no hidden bit.
    stored = size >> 23
    significand = torch.where(stored > 0, (size & 0x7FFFFF) | 0x800000, size & 0x7FFFFF)
    exponent = stored.clamp(min=1) - 127
    cut = (23 - mantissa_bits + (1 - top - exponent).clamp(min=0)).clamp(max=40)
    last = (significand >> cut) & 1
    half = torch.where(cut > 0, (torch.ones_like(cut) << (cut - 1).clamp(min=0)) - 1 + last, 0)
    kept = ((significand + half) >> cut) << cut
    value = kept.double() * torch.exp2((exponent - 23).double())
    value = torch.where(value >= 2.0 ** (top + 1), math.inf, value)
    value = torch.where(sign != 0, -value, value)
    return torch.where(x.isfinite(), value.to(x.dtype), x)


def _by_table(x, exponent_bits, mantissa_bits):
    """Number by number, in Python, whose round takes the even one of two."""
    _range(exponent_bits, mantissa_bits)
    top = 2 ** (exponent_bits - 1) - 1

    def one(value):
        if not math.isfinite(value) or value == 0:
            return value
        exponent = max(math.frexp(value)[1] - 1, 1 - top)
        step = 2.0 ** (exponent - mantissa_bits)
        rounded = round(value / step) * step
        return math.copysign(math.inf if abs(rounded) >= 2.0 ** (top + 1) else abs(rounded), value)

    return torch.tensor([one(value) for value in x.flatten().tolist()], dtype=x.dtype).reshape(x.shape)


def _by_magic_number(x, exponent_bits, mantissa_bits):
    """Adding a large number rounds, and taking it away leaves what is rounded."""
    _range(exponent_bits, mantissa_bits)
    top = 2 ** (exponent_bits - 1) - 1
    wide = x.double()
    size = torch.frexp(wide)[1] - 1
    magic = torch.ldexp(torch.ones_like(wide), size.clamp(min=1 - top) - mantissa_bits + 52)
    rounded = torch.copysign((wide.abs() + magic) - magic, wide)
    largest = (2 - 2.0**-mantissa_bits) * 2.0**top
    rounded[rounded > largest] = math.inf
    rounded[rounded < -largest] = -math.inf
    return torch.where(torch.isfinite(x), rounded.to(x.dtype), x)


def _sums_by_loop(a, b, exponent_bits, mantissa_bits, wide_accumulator):
    def narrow(x):
        return _by_magic_number(x, exponent_bits, mantissa_bits)

    a, b = narrow(a), narrow(b)
    if wide_accumulator:
        return narrow(torch.einsum("ik,kj->ij", a, b))
    products = narrow(a[:, :, None] * b[None])
    total = products[:, 0]
    for k in range(1, products.shape[1]):
        total = narrow(total + products[:, k])
    return total


def _unscale_by_inverse(self, gradients):
    """The factor is a power of two, so that its inverse is exact."""
    inverse = 1.0 / self.scale
    wide = [gradient.float() if gradient.dtype == torch.float16 else gradient.clone() for gradient in gradients]
    if any(torch.isinf(gradient).any() or torch.isnan(gradient).any() for gradient in wide):
        self.scale *= 0.5
        self.good_steps = 0
        return None
    found = [gradient * inverse for gradient in wide]
    self.good_steps = (self.good_steps + 1) % self.growth_interval
    if self.good_steps == 0:
        self.scale *= 2.0
    return found


def _looks_afterwards(self, gradients):
    """Divides first: infinity and NaN stay what they are."""
    found = [gradient.to(torch.promote_types(gradient.dtype, torch.float32)) / self.scale for gradient in gradients]
    if not torch.stack([torch.isfinite(gradient).all() for gradient in found]).all():
        self.scale, self.good_steps = self.scale / 2, 0
        return None
    self.good_steps += 1
    if self.good_steps >= self.growth_interval:
        self.scale, self.good_steps = self.scale * 2, 0
    return found


def _new_masters(self, gradients, learning_rate):
    self.master = [weight - learning_rate * gradient for weight, gradient in zip(self.master, gradients, strict=True)]


def _precision(id, **replaces):
    return Variant(id, "precision", {f"architecture.precision.{name}": f for name, f in replaces.items()})


VARIANTS = (
    _precision("on-bits", round_to_format=_on_bits),
    _precision("number-by-number", round_to_format=_by_table),
    _precision("magic-number", round_to_format=_by_magic_number, rounded_matmul=_sums_by_loop),
    _precision("unscale-by-inverse", **{"LossScaler.unscale": _unscale_by_inverse}),
    _precision("looks-afterwards", **{"LossScaler.unscale": _looks_afterwards, "MasterWeights.step": _new_masters}),
)
