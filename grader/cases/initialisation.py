"""Does a weight look drawn from the truncated normal distribution that the assignment asks for?"""

from __future__ import annotations

import math

from torch import Tensor

_CUT = 3.0
# Moments of the standard normal distribution cut off at 3 standard deviations.
_VARIANCE = 0.973337
_KURTOSIS = 2.8289
# Six standard errors: a right initialisation fails one of the bounds with a probability of about 1e-8.
_STANDARD_ERRORS = 6.0
_SMALLEST_SAMPLE = 2000


def check_truncated_normal(weight: Tensor, std: float, what: str) -> None:
    """Raise AssertionError unless `weight` can come from N(0, std^2) cut off at three standard deviations.

    Args:
        weight: at least 2000 numbers, so that the largest of them lies beyond 2.5 std but for a chance of 1e-11.
        std: before cutting; the numbers' own standard deviation is 0.9866 of it.
        what: a name for messages.
    """
    sample = weight.double().flatten()
    n = sample.numel()
    if n < _SMALLEST_SAMPLE:
        raise ValueError(f"{n} numbers say too little about a distribution; draw at least {_SMALLEST_SAMPLE}.")
    if not sample.isfinite().all():
        raise AssertionError(f"{what} contains numbers that are not finite")
    variance = sample.square().mean().item()
    wanted = _VARIANCE * std**2
    slack = _STANDARD_ERRORS * math.sqrt((_KURTOSIS - 1) / n)
    if abs(variance / wanted - 1) > slack:
        raise AssertionError(
            f"{what} has a standard deviation of {math.sqrt(variance):.4g}; "
            f"sigma = {std:.4g}, cut off at 3 sigma, gives {math.sqrt(wanted):.4g}"
        )
    mean = sample.mean().item()
    if abs(mean) > _STANDARD_ERRORS * std / math.sqrt(n):
        raise AssertionError(f"{what} has a mean of {mean:.3g}, too far from 0 for {n} numbers with sigma = {std:.4g}")
    largest = sample.abs().max().item() / std
    if largest > _CUT * (1 + 1e-6):
        raise AssertionError(f"{what} has a number at {largest:.3g} sigma; all of them lie within 3 sigma")
    if largest < 2.5:
        raise AssertionError(
            f"{what} has no number beyond {largest:.3g} sigma among {n}, "
            "which does not happen with a normal distribution cut off at 3 sigma"
        )
