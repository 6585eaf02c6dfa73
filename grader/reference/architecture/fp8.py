"""Numbers of 8 and 4 bits, and products of matrices of them, which need scales."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from .precision import _on_grid

FORMATS = ("e4m3", "e5m2", "e2m1")

_Beyond = Literal["nan", "infinity", "largest"]


@dataclass(frozen=True)
class _SmallFormat:
    """A format of very few bits.

    lowest: the smallest normal number is 2^lowest; mantissa_bits: without the bit that is always 1; largest: the
    largest number; beyond: what larger ones become.
    """

    lowest: int
    mantissa_bits: int
    largest: float
    beyond: _Beyond


_FORMATS = {
    "e4m3": _SmallFormat(-6, 3, 448.0, "nan"),
    "e5m2": _SmallFormat(-14, 2, 57344.0, "infinity"),
    "e2m1": _SmallFormat(0, 1, 6.0, "largest"),
}


def to_small_format(x: Float[Tensor, " ..."], format: str) -> Float[Tensor, " ..."]:
    """The nearest number of a format of 8 or 4 bits, for every element (Micikevicius et al., 2022; OCP, 2023).

        format    smallest normal    mantissa bits    largest    what is rounded to more becomes
        e4m3      2^-6               3                448        NaN
        e5m2      2^-14              2                57344      infinite
        e2m1      2^0                1                6          6

    Ties go to even and small numbers are subnormal, as in `round_to_format`. e4m3 gives up infinity for numbers up to
    448, and e2m1, which has 4 bits, gives up NaN, too. "Rounded to more": e4m3's next number would be 480, so 464 still
    is 448.

    Args:
        x: float32 or float64, and no NaN for e2m1. The result has its shape and type, and only numbers of the format.
        format: one of FORMATS.

    Raises:
        ValueError: there is no such format; the message has the name, and those that there are.

    Problem: fp8
    """
    kind = _format(format)
    rounded = _on_grid(x, kind.lowest, kind.mantissa_bits)
    over = rounded.abs() > kind.largest
    beyond = {"nan": torch.nan, "infinity": torch.inf, "largest": kind.largest}[kind.beyond]
    return torch.where(over, torch.copysign(torch.full_like(rounded, beyond), rounded), rounded).to(x.dtype)


def quantise(
    x: Float[Tensor, " ... n"], format: str, per_row: bool
) -> tuple[Float[Tensor, " ... n"], Float[Tensor, " ... 1"] | Float[Tensor, ""]]:
    """Numbers of a small format, and the scale that makes them like `x`: x is about values * scale.

    The scale is the largest |x| over the format's largest number, so that the values use the whole format and none is
    beyond it; where all of x is 0 it is 1. There is one for the whole tensor, or one for each row, which is what lies
    along the last dimension, so that one large number makes only its own row coarse.

    Args:
        x: finite, float32 or float64.
        format: one of FORMATS.
        per_row: whether each row has its own scale.

    Returns:
        values: to_small_format(x / scale), of x's shape and type.
        scale: of x's type; of shape [... 1] per row, else a scalar.

    Raises:
        ValueError: as `to_small_format`.

    Problem: fp8
    """
    largest = _format(format).largest
    size = x.abs().amax(dim=-1, keepdim=True) if per_row else x.abs().amax()
    scale = torch.where(size > 0, size / largest, 1.0)
    return to_small_format(x / scale, format), scale


def small_matmul(a: Float[Tensor, "n k"], b: Float[Tensor, "k m"], format: str, per_row: bool) -> Float[Tensor, "n m"]:
    """A product of matrices in a small format: both are quantised, multiplied, and the scales put back.

    Per row, each row of `a` and each *column* of `b` has its own scale: the sum over k then has one common factor,
    which can be taken out of it. Products are added up in the type of `a`.

    Args:
        a, b: finite, float32 or float64.
        format: one of FORMATS.
        per_row: whether rows of `a` and columns of `b` have scales of their own, or each matrix has one.

    Raises:
        ValueError: as `to_small_format`; or a has not as many columns as b has rows, and the message has both numbers.

    Problem: fp8
    """
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"a has {a.shape[1]} columns and b has {b.shape[0]} rows; both have to be the same k.")
    left, left_scale = quantise(a, format, per_row)
    right, right_scale = quantise(b.T, format, per_row)
    return (left @ right.T) * left_scale * (right_scale.T if per_row else right_scale)


def _format(name: str) -> _SmallFormat:
    if name not in _FORMATS:
        raise ValueError(f"no format is called {name!r}; there are {', '.join(FORMATS)}.")
    return _FORMATS[name]
