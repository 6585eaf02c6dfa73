"""Training in few bits: how numbers are rounded, how sums lose them, and how loss scaling and master weights cope."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor


def round_to_format(x: Float[Tensor, " ..."], exponent_bits: int, mantissa_bits: int) -> Float[Tensor, " ..."]:
    """The nearest number of a binary floating-point format, for every element (IEEE 754-2019, sections 3 and 4.3).

    A format of e exponent bits and m mantissa bits has the numbers

        +-(1 + i / 2^m) 2^k        i = 0 .. 2^m - 1        k = 2 - 2^(e-1) .. 2^(e-1) - 1
        +-(i / 2^m) 2^k            with the lowest k alone: the subnormal numbers, and 0

    bfloat16 has e = 8, m = 7, and float16 has e = 5, m = 10. Halfway between two of them, the one with the even i is
    taken. What would be rounded to 2^(2^(e-1)) or more becomes infinite. Infinity and NaN stay what they are.

    Args:
        x: float32 or float64. The result has the same shape and type, so that every format can be tried on every
            machine; it only holds numbers of the format.
        exponent_bits: e, from 2 to 8.
        mantissa_bits: m, from 1 to 23, without the bit that is always 1.

    Raises:
        ValueError: a number of bits is out of its range; the message has it.

    Problem: precision
    """
    raise NotImplementedError("precision: write round_to_format in cs336_basics/architecture/precision.py")


def rounded_matmul(
    a: Float[Tensor, "n k"],
    b: Float[Tensor, "k m"],
    exponent_bits: int,
    mantissa_bits: int,
    wide_accumulator: bool,
) -> Float[Tensor, "n m"]:
    """A product of matrices as hardware with few bits computes it.

    First, both matrices are rounded to the format. With a wide accumulator, as in tensor cores, products are added up
    in float32, and the sum is rounded once. Without, the sum is kept in the format: the products of one element come in
    the order of k, each is rounded, and so is the sum after each addition, which starts at 0.

    Args:
        a, b: float32 or float64; the result has their type.
        exponent_bits, mantissa_bits: as for `round_to_format`.
        wide_accumulator: whether sums are kept in float32.

    Raises:
        ValueError: as `round_to_format`.

    Problem: precision
    """
    raise NotImplementedError("precision: write rounded_matmul in cs336_basics/architecture/precision.py")


class LossScaler:
    """Keeps gradients in the range of float16 by a factor on the loss (Micikevicius et al., 2017, section 3.2).

    Small gradients are 0 in float16. Those of a loss that is multiplied by `scale` are larger by the same factor, which
    is taken out again in float32. The factor finds itself: where a gradient is infinite or NaN, it is halved, and that
    step is left out; after `growth_interval` steps in a row without, it is doubled, and counting begins anew.

    Args:
        scale: the first factor, above 0; the attribute `scale` is that of the next step.
        growth_interval: number of good steps in a row, at least 1, after which the factor is doubled.

    Raises:
        ValueError: scale is 0 or less, or growth_interval is below 1; the message has it.

    Problem: precision
    """

    def __init__(self, scale: float = 2.0**16, growth_interval: int = 2000) -> None:
        raise NotImplementedError("precision: write LossScaler.__init__ in cs336_basics/architecture/precision.py")

    def unscale(self, gradients: Sequence[Tensor]) -> list[Tensor] | None:
        """The gradients of the loss itself, in float32 at least; or None where this step has to be left out.

        The factor for the next step is set here, too; these gradients are still those of the old one.

        Args:
            gradients: those of `scale` times the loss, of one step, for any number of parameters; they stay as they
                are.
        """
        raise NotImplementedError("precision: write LossScaler.unscale in cs336_basics/architecture/precision.py")


class MasterWeights:
    """Weights in float32 beside those in few bits that a model computes with (Micikevicius et al., 2017, section 3.1).

    A step is often smaller than the distance of two numbers of a small format: added to a rounded weight, it is lost
    again, at every step. So steps go to the weights in float32, and the model gets them rounded.

    Args:
        weights: the initial values, float32 or float64, which stay as they are.
        exponent_bits, mantissa_bits: the format that the model computes with, as for `round_to_format`.

    Raises:
        ValueError: as `round_to_format`.

    Problem: precision
    """

    def __init__(self, weights: Sequence[Tensor], exponent_bits: int, mantissa_bits: int) -> None:
        raise NotImplementedError("precision: write MasterWeights.__init__ in cs336_basics/architecture/precision.py")

    def rounded(self) -> list[Tensor]:
        """What the model computes with: each weight, rounded to the format."""
        raise NotImplementedError("precision: write MasterWeights.rounded in cs336_basics/architecture/precision.py")

    def step(self, gradients: Sequence[Tensor], learning_rate: float) -> None:
        """One step of gradient descent: each master weight less learning_rate times its gradient."""
        raise NotImplementedError("precision: write MasterWeights.step in cs336_basics/architecture/precision.py")


def mixed_precision_step(
    weights: MasterWeights, scaler: LossScaler, gradients: Sequence[Tensor], learning_rate: float
) -> bool:
    """One step of training in mixed precision; says whether it was made, or left out.

    Where the scaler finds a gradient that is infinite or NaN, no weight changes.

    Args:
        weights, scaler: what to step; both are changed.
        gradients: those of `scaler.scale` times the loss, as the backward pass in few bits gave them.
        learning_rate: of gradient descent.

    Problem: precision
    """
    raise NotImplementedError("precision: write mixed_precision_step in cs336_basics/architecture/precision.py")
