"""Does a weight look drawn from the truncated normal distribution that the assignment asks for?

Two questions that are judged apart, because they go wrong apart: how far the numbers spread, and where they end.
"""

from __future__ import annotations

import math

from torch import Tensor

_CUT = 3.0
# Moments of the standard normal distribution cut off at 3 standard deviations.
_VARIANCE = 0.973337
_KURTOSIS = 2.8289
# Six standard errors: a right initialisation fails one of the bounds with a probability of about 1e-8.
_STANDARD_ERRORS = 6.0
# A normal distribution that is cut elsewhere, or not at all, spreads by up to 12 % less or more: that is the other
# question. What is known to go wrong with the spread itself is off by a factor of 1.4 or more.
_SPREAD = 0.15
_SMALLEST_SAMPLE = 2000


def check_spread(weight: Tensor, std: float, what: str) -> None:
    """Raise AssertionError unless `weight` is centred on 0 and spreads as N(0, std^2) does, cut off at 3 std or not.

    Args:
        weight: at least 2000 numbers, so that chance moves their spread by 10 % at most.
        what: a name for messages.
    """
    sample = _sample(weight, what)
    wanted = math.sqrt(_VARIANCE) * std
    found = sample.square().mean().sqrt().item()
    if abs(found / wanted - 1) > _SPREAD:
        raise AssertionError(
            f"{what} has a standard deviation of {found:.4g}; sigma = {std:.4g}, cut off at 3 sigma, gives {wanted:.4g}"
            f"{_instead(found, std)}"
        )
    mean, n = sample.mean().item(), sample.numel()
    if abs(mean) > _STANDARD_ERRORS * std / math.sqrt(n):
        raise AssertionError(f"{what} has a mean of {mean:.3g}, too far from 0 for {n} numbers with sigma = {std:.4g}")


_CUT_AT_TWO = 0.8796
"""Of the standard normal distribution cut off at 2, as PyTorch's trunc_normal_ does by default."""
_ALIKE = 0.02


def _instead(found: float, std: float) -> str:
    """What the sigma behind another spread is, to go on with; "" where that is nothing that one would know."""
    spreads = (1.0, math.sqrt(_VARIANCE), _CUT_AT_TWO)
    for sigma, words in (
        (std**2, f"{std**2:.4g} is sigma squared: is the variance given where a standard deviation is asked for?"),
        (math.sqrt(std), "that is the root of sigma: is the root taken twice?"),
        (1.0, "it is drawn with sigma = 1, which is the default where no other is given"),
    ):
        if any(abs(found / (sigma * spread) - 1) < _ALIKE for spread in spreads):
            return f"; {words}"
    return ""


def check_cut(weight: Tensor, what: str) -> None:
    """Raise AssertionError unless `weight` looks normal up to three of its own standard deviations, and ends there.

    Args:
        weight: at least 2000 numbers, so that the largest of them lies beyond 2.5 sigma but for a chance of 1e-11; ten
            times as many are needed for an uncut distribution to be noticed every time.
        what: a name for messages.
    """
    sample = _sample(weight, what)
    n = sample.numel()
    sigma = math.sqrt(sample.square().mean().item() / _VARIANCE)
    if not sigma:
        raise AssertionError(f"{what} starts at zero everywhere")
    largest = sample.abs().max().item() / sigma
    slack = _STANDARD_ERRORS * math.sqrt((_KURTOSIS - 1) / (4 * n))
    if largest > _CUT * (1 + slack):
        raise AssertionError(f"{what} has a number at {largest:.3g} sigma; all should lie within 3 sigma")
    if largest < 2.5:
        raise AssertionError(
            f"{what} has no number beyond {largest:.3g} sigma among {n}, "
            "which does not happen with a normal distribution cut off at 3 sigma"
        )


def _sample(weight: Tensor, what: str) -> Tensor:
    sample = weight.double().flatten()
    if sample.numel() < _SMALLEST_SAMPLE:
        raise ValueError(
            f"{sample.numel()} numbers say too little about a distribution; draw at least {_SMALLEST_SAMPLE}."
        )
    if sample.isnan().all():
        raise AssertionError(
            f"{what} is never given its first values: it holds whatever was in memory, as torch.empty leaves it"
        )
    if not sample.isfinite().all():
        raise AssertionError(f"{what} starts with numbers that are not finite")
    return sample
