"""Numbers of 8 and 4 bits, and products of matrices of them, which need scales."""

from jaxtyping import Float
from torch import Tensor

FORMATS = ("e4m3", "e5m2", "e2m1")


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
    raise NotImplementedError("fp8: write to_small_format in cs336_basics/architecture/fp8.py")


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
    raise NotImplementedError("fp8: write quantise in cs336_basics/architecture/fp8.py")


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
    raise NotImplementedError("fp8: write small_matmul in cs336_basics/architecture/fp8.py")
