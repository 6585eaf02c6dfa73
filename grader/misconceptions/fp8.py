"""How small formats, their scales and products in them go wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import fp8
from grader.reference.architecture.fp8 import _SmallFormat

from .catalogue import Misconception, replacing
from .together import assembled

_right_round, _right_quantise, _right_product = fp8.to_small_format, fp8.quantise, fp8.small_matmul
_kind = fp8._format


def _to_even(quotient: Tensor) -> Tensor:
    return torch.round(quotient)


def _of_rounded(rounded: Tensor, wide: Tensor, largest: float) -> Tensor:
    return rounded.abs() > largest


@assembled
def _rounding(
    change: Callable[[_SmallFormat], _SmallFormat] = lambda kind: kind,
    only: str = "",
    nearest: Callable[[Tensor], Tensor] = _to_even,
    over: Callable[[Tensor, Tensor, float], Tensor] = _of_rounded,
    flush: bool = False,
):
    """to_small_format with another format (`only` in the place of this one), or another way to round."""

    def to_small_format(x, format):
        mine = not only or format == only
        kind = change(_kind(format)) if mine else _kind(format)
        wide = x.double()
        exponent = (torch.frexp(wide).exponent - 1).clamp(min=kind.lowest)
        step = torch.ldexp(torch.ones_like(wide), exponent - kind.mantissa_bits)
        rounded = torch.where(wide.isfinite(), nearest(wide / step) * step, wide)
        if flush:
            rounded = torch.where(rounded.abs() < 2.0**kind.lowest, 0.0, rounded)
        beyond = {"nan": torch.nan, "infinity": torch.inf, "largest": kind.largest}[kind.beyond]
        too_large = (over if mine else _of_rounded)(rounded, wide, kind.largest)
        return torch.where(too_large, torch.copysign(torch.full_like(wide, beyond), wide), rounded).to(x.dtype)

    return to_small_format


def _of_itself(rounded: Tensor, wide: Tensor, largest: float) -> Tensor:
    return wide.abs() > largest


def _away(quotient: Tensor) -> Tensor:
    return quotient.sign() * (quotient.abs() + 0.5).floor()


def _always_e4m3(x, format):
    _kind(format)
    return _right_round(x, "e4m3")


def _takes_any_format(x, format):
    return _right_round(x, format if format in fp8.FORMATS else "e4m3")


@assembled
def _quantising(
    size: Callable[[Tensor, bool], Tensor] = lambda x, per_row: (
        x.abs().amax(-1, keepdim=True) if per_row else x.abs().amax()
    ),
    divide: Callable[[Tensor, float], Tensor] = lambda size, largest: size / largest,
    nothing: Callable[[Tensor, Tensor], Tensor] = lambda size, scale: torch.where(size > 0, scale, 1.0),
    round_to: Callable[[Tensor, str], Tensor] = _right_round,
    give: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda values, scale: (values, scale),
):
    def quantise(x, format, per_row):
        largest = size(x, per_row)
        scale = nothing(largest, divide(largest, _kind(format).largest))
        return give(round_to(x / scale, format), scale)

    return quantise


def _highest(x: Tensor, per_row: bool) -> Tensor:
    return x.amax(-1, keepdim=True) if per_row else x.amax()


def _whole(x: Tensor, per_row: bool) -> Tensor:
    size = x.abs().amax()
    return size.expand(*x.shape[:-1], 1) if per_row else size


def _mean(x: Tensor, per_row: bool) -> Tensor:
    return 2 * (x.abs().mean(-1, keepdim=True) if per_row else x.abs().mean())


def _columns(x: Tensor, per_row: bool) -> Tensor:
    return x.abs().amax(-2, keepdim=True) if per_row else x.abs().amax()


def _over_all_but_first(x: Tensor, per_row: bool) -> Tensor:
    return x.abs().flatten(1).amax(1).reshape(-1, *[1] * (x.ndim - 1)) if per_row else x.abs().amax()


def _power_of_two(size: Tensor, largest: float) -> Tensor:
    return torch.exp2(torch.ceil(torch.log2((size / largest).clamp(min=1e-30))))


def _without_last(values: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    return values, scale.squeeze(-1) if scale.ndim else scale


def _e4m3_scale(x, format, per_row):
    """448, whatever the format."""
    _kind(format)
    size = x.abs().amax(-1, keepdim=True) if per_row else x.abs().amax()
    scale = torch.where(size > 0, size / 448.0, 1.0)
    return _right_round(x / scale, format), scale


def _in_place(x, format, per_row):
    values, scale = _right_quantise(x, format, per_row)
    return x.copy_(values), scale


@assembled
def _multiplying(
    end: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda product, left, right: product * left * right,
    along: Callable[[Tensor, str, bool], tuple[Tensor, Tensor]] = lambda b, format, per_row: _right_quantise(
        b.T, format, per_row
    ),
    last: Callable[[Tensor, str], Tensor] = lambda result, format: result,
    rows: Callable[[bool], bool] = lambda per_row: per_row,
):
    """small_matmul; `along` quantises b and gives it transposed, and its scales as a column."""

    def small_matmul(a, b, format, per_row):
        if a.shape[1] != b.shape[0]:
            return _right_product(a, b, format, per_row)
        left, left_scale = _right_quantise(a, format, rows(per_row))
        right, right_scale = along(b, format, rows(per_row))
        return last(end(left @ right.T, left_scale, right_scale.reshape(1, -1)), format)

    return small_matmul


def _by_rows_of_b(b: Tensor, format: str, per_row: bool) -> tuple[Tensor, Tensor]:
    """Scales along k, of which one common factor is taken afterwards."""
    values, scale = _right_quantise(b, format, per_row)
    return values.T, scale.mean(0, keepdim=True).expand(b.shape[1], 1) if per_row else scale


def _as_it_is(b: Tensor, format: str, per_row: bool) -> tuple[Tensor, Tensor]:
    return b.T, torch.ones(())


def _exact(a, b, format, per_row):
    if a.shape[1] != b.shape[0]:
        return _right_product(a, b, format, per_row)
    return a @ b


def _unscaled(a, b, format, per_row):
    if a.shape[1] != b.shape[0]:
        return _right_product(a, b, format, per_row)
    return _right_round(a, format) @ _right_round(b, format)


def _leaves_it_to_torch(a, b, format, per_row):
    left, left_scale = _right_quantise(a, format, per_row)
    right, right_scale = _right_quantise(b.T, format, per_row)
    return _product_of_both(left, right) * left_scale * right_scale.reshape(1, -1)


def _product_of_both(left, right):
    k = min(left.shape[1], right.shape[1])
    return left[:, :k] @ right[:, :k].T


def _bug(place: str, id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return replacing("fp8", f"architecture.fp8.{place}", "Your ", id, function, diagnosis, hint, **options)


def _format(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("to_small_format", id, function, diagnosis, hint, **options)


def _scale(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("quantise", id, function, f"quantisation {diagnosis}", hint, **options)


def _product(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("small_matmul", id, function, f"product in a small format {diagnosis}", hint, **options)


MISCONCEPTIONS = (
    _format(
        "e4m3-ends-at-240",
        _rounding(lambda kind: replace(kind, largest=240.0), "e4m3"),
        "e4m3 ends at 240, as a format with infinity would. It has numbers in the highest exponent, too.",
        "What is 300 in e4m3?",
        frequency="common",
    ),
    _format(
        "e4m3-saturates",
        _rounding(lambda kind: replace(kind, beyond="largest"), "e4m3"),
        "e4m3 gives 448 for everything above, where there should be NaN.",
        "What is 1,000 in e4m3?",
        frequency="common",
    ),
    _format(
        "e4m3-is-infinite",
        _rounding(lambda kind: replace(kind, beyond="infinity"), "e4m3"),
        "e4m3 is infinite above 448; it has no infinity.",
        "What is 1,000 in e4m3?",
        frequency="common",
    ),
    _format(
        "e4m3-ends-at-once",
        _rounding(only="e4m3", over=_of_itself),
        "e4m3 makes everything above 448 NaN, also what would be rounded down to it.",
        "What are 464 and 465 in e4m3?",
    ),
    _format(
        "e4m3-one-exponent-lower",
        _rounding(lambda kind: replace(kind, lowest=-7), "e4m3"),
        "e4m3 has normal numbers down to 2^-7.",
        "What is the smallest e4m3 above 0?",
        frequency="rare",
    ),
    _format(
        "e4m3-has-two-bits",
        _rounding(lambda kind: replace(kind, mantissa_bits=2), "e4m3"),
        "e4m3 has two bits behind the first.",
        "Which numbers from 1 to 2 has e4m3?",
        frequency="rare",
    ),
    _format(
        "e5m2-saturates",
        _rounding(lambda kind: replace(kind, beyond="largest"), "e5m2"),
        "e5m2 gives 57,344 for everything above, and is never infinite.",
        "What is 1e6 in e5m2?",
    ),
    _format(
        "e5m2-ends-at-once",
        _rounding(only="e5m2", over=_of_itself),
        "e5m2 makes everything above 57,344 infinite, also what would be rounded down to it.",
        "What are 61,439 and 61,440 in e5m2?",
    ),
    _format(
        "e5m2-one-exponent-lower",
        _rounding(lambda kind: replace(kind, lowest=-15), "e5m2"),
        "e5m2 has normal numbers down to 2^-15.",
        "What is the smallest e5m2 above 0?",
        frequency="rare",
    ),
    _format(
        "e2m1-is-nan",
        _rounding(lambda kind: replace(kind, beyond="nan"), "e2m1"),
        "e2m1 gives NaN above 6; it has none.",
        "What could stand for NaN, of 16 patterns with 16 numbers?",
        forms=[_rounding(lambda kind: replace(kind, beyond="infinity"), "e2m1")],
    ),
    _format(
        "e2m1-has-no-half",
        _rounding(only="e2m1", change=lambda kind: replace(kind, lowest=-1)),
        "e2m1 goes on below 1 as above it, with 0.25 and 0.75, where it has 0.5 and 0 alone.",
        "How many numbers has a format of 4 bits?",
    ),
    _format(
        "small-numbers-are-zero",
        _rounding(flush=True),
        "small formats have no subnormal numbers: below the smallest power of two everything is 0.",
        "What is 0.5 in e2m1?",
        frequency="common",
    ),
    _format(
        "half-away-from-zero",
        _rounding(nearest=_away),
        "small formats round up what lies halfway.",
        "What is 2.5 in e2m1?",
        frequency="common",
    ),
    _format(
        "cuts-off",
        _rounding(nearest=torch.trunc),
        "small formats cut off what does not fit.",
        "What is 2.9 in e2m1?",
        frequency="occasional",
    ),
    _format(
        "always-e4m3",
        _always_e4m3,
        "small formats all are e4m3.",
        "Compare two formats.",
        frequency="rare",
    ),
    _format(
        "takes-any-format",
        _takes_any_format,
        "function takes any name for a format, and uses e4m3 for those that it does not know.",
        "What does it do with a name that is misspelt?",
        frequency="rare",
    ),
    _scale(
        "scale-without-absolute-value",
        _quantising(size=_highest, nothing=lambda size, scale: torch.where(size > 0, scale, 1.0)),
        "looks for the largest number and not for the largest absolute value.",
        "What is the scale of -100 and 1?",
        frequency="common",
    ),
    _scale(
        "scale-is-inverse",
        _quantising(give=lambda values, scale: (values, 1 / scale)),
        "returns the inverse of the scale.",
        "What should values * scale be?",
        frequency="common",
    ),
    _scale(
        "scale-without-largest",
        _quantising(divide=lambda size, largest: size),
        "brings numbers to at most 1, so that most of the format is not used.",
        "Which value should the largest number get?",
        frequency="common",
    ),
    _bug(
        "quantise",
        "scale-always-for-e4m3",
        _e4m3_scale,
        "quantisation divides by 448 whatever the format.",
        "What is the largest number of each format?",
    ),
    _scale(
        "scale-is-power-of-two",
        _quantising(divide=_power_of_two),
        "rounds the scale up to a power of two, as formats with shared exponents do.",
        "Which value should the largest number get?",
        frequency="rare",
    ),
    _scale(
        "scale-of-mean",
        _quantising(size=_mean),
        "takes the scale from the mean, so that large numbers are beyond the format.",
        "Which value should the largest number get?",
        frequency="rare",
    ),
    _scale(
        "one-scale-for-all-rows",
        _quantising(size=_whole),
        "gives every row the scale of the whole tensor.",
        "Make one row 1,000 times as large: what happens to the others?",
    ),
    _scale(
        "scales-of-columns",
        _quantising(size=_columns),
        "gives scales to columns and not to rows.",
        "Which shape has the scale?",
        frequency="common",
    ),
    _scale(
        "scales-of-matrices",
        _quantising(size=_over_all_but_first),
        "gives one scale to everything behind the first dimension.",
        "Which shape has the scale of a tensor with three dimensions?",
        frequency="rare",
    ),
    _scale(
        "scale-lacks-dimension",
        _quantising(give=_without_last),
        "returns scales of rows without the last dimension, so that values * scale multiplies columns, or fails.",
        "Which shape has the scale?",
    ),
    _scale(
        "zero-over-zero",
        _quantising(nothing=lambda size, scale: scale),
        "divides 0 by 0 where all numbers are 0.",
        "Quantise a row of zeros.",
        frequency="common",
    ),
    _scale(
        "values-not-rounded",
        _quantising(round_to=lambda x, format: x),
        "scales and does not round.",
        "Which numbers can the values be?",
        frequency="rare",
    ),
    _bug(
        "quantise",
        "quantises-in-place",
        _in_place,
        "quantisation writes into its input.",
        "Print the input before and after the call.",
        frequency="rare",
    ),
    _product(
        "without-scales",
        _multiplying(end=lambda product, left, right: product),
        "does not put the scales back.",
        "Compare with a @ b: how far may it be off?",
    ),
    _product(
        "with-one-scale",
        _multiplying(end=lambda product, left, right: product * left),
        "puts back the scale of the first matrix only.",
        "Compare with a @ b: how far may it be off?",
        frequency="rare",
    ),
    _product(
        "divides-by-scales",
        _multiplying(end=lambda product, left, right: product / (left * right)),
        "divides by the scales.",
        "What should values * scale be?",
    ),
    _product(
        "rows-of-second",
        _multiplying(along=_by_rows_of_b),
        "gives scales to the rows of the second matrix: they differ along the sum, and cannot be taken out of it.",
        "Over which dimension is the sum?",
        frequency="common",
    ),
    _product(
        "never-per-row",
        _multiplying(rows=lambda per_row: False),
        "has one scale for each matrix also where rows should have their own.",
        "Make one row 1,000 times as large: what happens to the others?",
    ),
    _product(
        "second-not-quantised",
        _multiplying(along=_as_it_is),
        "does not quantise the second matrix.",
        "In which format are the weights?",
        frequency="rare",
    ),
    _product(
        "not-quantised",
        _exact,
        "does not quantise at all.",
        "Which products does the hardware compute?",
        frequency="rare",
    ),
    _product(
        "rounds-without-scales",
        _unscaled,
        "rounds matrices as they are, without scales.",
        "Multiply both matrices by 1e-6: what is left?",
    ),
    _product(
        "rounds-result",
        _multiplying(last=_right_round),
        "rounds the result to the small format, too.",
        "In which type are products added up?",
    ),
    _product(
        "takes-what-does-not-fit",
        _leaves_it_to_torch,
        "cuts off matrices that do not fit.",
        "What is a matrix of 3 columns times one of 5 rows?",
        frequency="rare",
    ),
)
