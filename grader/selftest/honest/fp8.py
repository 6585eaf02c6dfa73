"""Small formats, their scales and products in them, written in other ways."""

from __future__ import annotations

import math

import torch

from grader.misconceptions.catalogue import Variant

_LARGEST = {"e4m3": 448.0, "e5m2": 57344.0, "e2m1": 6.0}
_BITS = {"e4m3": (-6, 3), "e5m2": (-14, 2), "e2m1": (0, 1)}


def _numbers(format):
    """All numbers of a format that are not negative, in order: every second one is even."""
    lowest, bits = _BITS[format]
    count = 2**bits
    found = [i / count * 2.0**lowest for i in range(count)]
    exponent = lowest
    while found[-1] < _LARGEST[format]:
        found += [(1 + i / count) * 2.0**exponent for i in range(count)]
        exponent += 1
    return torch.tensor([x for x in found if x <= _LARGEST[format]], dtype=torch.float64)


def _by_table(x, format):
    """The nearest of all numbers that there are."""
    if format not in _LARGEST:
        raise ValueError(f"unknown format {format}")
    table = _numbers(format)
    size = x.double().abs()
    above = torch.searchsorted(table, size.nan_to_num(math.inf)).clamp(max=len(table) - 1)
    below = (above - 1).clamp(min=0)
    up, down = table[above] - size, size - table[below]
    chosen = torch.where((up < down) | ((up == down) & (above % 2 == 0)), above, below)
    value = torch.where(size > table[-1], table[-1], table[chosen])
    half = (table[-1] - table[-2]) / 2
    if format == "e4m3":
        value = torch.where(size > table[-1] + half, math.nan, value)
        value = torch.where(x.isnan(), math.nan, value)
    if format == "e5m2":
        value = torch.where(size >= table[-1] + half, math.inf, value)
    return torch.copysign(value, x.double()).to(x.dtype)


def _by_types(x, format):
    """By torch's types where there is one, and by thresholds where there is none."""
    if format == "e4m3":
        return torch.where(x.abs() <= 464, x.to(torch.float8_e4m3fn).to(x.dtype), torch.nan)
    if format == "e5m2":
        return x.to(torch.float8_e5m2).to(x.dtype)
    if format != "e2m1":
        raise ValueError(f"{format}?")
    size = x.abs()
    value = torch.zeros_like(x)
    for bound, number, included in (
        (0.25, 0.5, False), (0.75, 1.0, True), (1.25, 1.5, False), (1.75, 2.0, True), (2.5, 3.0, False),
        (3.5, 4.0, True), (5.0, 6.0, False),
    ):  # fmt: skip
        value[(size >= bound) if included else (size > bound)] = number
    return torch.copysign(value, x)


def _with_inverse(x, format, per_row):
    """Multiplies by the inverse of the scale."""
    from grader.reference.architecture.fp8 import to_small_format

    largest = _LARGEST[format]
    size = x.abs().max(dim=-1, keepdim=True).values if per_row else x.abs().max()
    size = size.masked_fill(size == 0, largest)
    return to_small_format(x * (largest / size), format), size / largest


def _back_first(a, b, format, per_row):
    """Puts the scales back before the product."""
    from grader.reference.architecture.fp8 import quantise

    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"{tuple(a.shape)} and {tuple(b.shape)} do not fit: {a.shape[-1]} is not {b.shape[-2]}")
    left, left_scale = quantise(a, format, per_row)
    right, right_scale = quantise(b.transpose(0, 1).contiguous(), format, per_row)
    return torch.einsum("nk,mk->nm", left * left_scale, right * right_scale)


def _fp8(id, **replaces):
    return Variant(id, "fp8", {f"architecture.fp8.{name}": f for name, f in replaces.items()})


VARIANTS = (
    _fp8("table-of-numbers", to_small_format=_by_table),
    _fp8("torchs-types", to_small_format=_by_types),
    _fp8("inverse-scale", quantise=_with_inverse),
    _fp8("scales-back-first", small_matmul=_back_first),
)
