"""From pairs of times to a ratio, its interval and a verdict. Pure: no clock, no device, no torch.

A pair holds the times of two contestants for the same inputs, taken one right after the other. Whatever slows the
machine for longer than that slows both, and cancels in the pair's ratio. The estimate is the median of the ratios, so
that single disturbed pairs do not move it, and its interval comes from resampling the pairs (the percentile bootstrap
of Efron and Tibshirani, 1993, chapter 13).
"""

from __future__ import annotations

import enum
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.99
FEWEST_PAIRS = 8
_RESAMPLES = 1000
_PATIENCE = 1.5


@dataclass(frozen=True)
class Taken:
    """What one turn took.

    seconds: on the clock that counts (on a CPU that is processor time); elapsed_s: how much time passed.
    """

    seconds: float
    elapsed_s: float


@dataclass(frozen=True)
class Pair:
    """Seconds that both took for the same inputs."""

    student: float
    reference: float

    @property
    def ratio(self) -> float:
        return self.student / self.reference


def pair_of(student: Taken, reference: Taken) -> Pair:
    """The pair of two turns, with the time that passed as a bound.

    The kernel accounts nobody for the processor time of a process whose parent does not want to know that it has ended.
    But time has passed: more than the reference needs for each second of its own, with some patience for what else the
    machine does, has gone somewhere, and is the student's.
    """
    stretch = max(1.0, reference.elapsed_s / reference.seconds)
    return Pair(max(student.seconds, student.elapsed_s / (_PATIENCE * stretch)), reference.seconds)


@dataclass(frozen=True)
class Estimate:
    """How many times as long the student's code takes: the median ratio, and the interval that holds the true one."""

    ratio: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval's length, relative to the ratio."""
        return (self.high - self.low) / 2 / self.ratio


@dataclass(frozen=True)
class Thresholds:
    """What ratios are worth: all points up to `full`, none from `none` on, and linearly less in between."""

    full: float
    none: float

    def fraction(self, ratio: float) -> float:
        """The share of the points that a ratio earns."""
        return min(1.0, max(0.0, (self.none - ratio) / (self.none - self.full)))


class Verdict(enum.StrEnum):
    """Where an interval lies. UNDECIDED: across a threshold, so that more pairs might still change the verdict."""

    FAST = "fast"
    BETWEEN = "between"
    SLOW = "slow"
    UNDECIDED = "undecided"


def estimate(pairs: Sequence[Pair], seed: int = 0) -> Estimate:
    """The median ratio with its interval at the 99 % level; always the same for the same pairs.

    Raises:
        ValueError: when there is no pair.
    """
    if not pairs:
        raise ValueError("no pair, no ratio")
    ratios = [math.log(pair.ratio) for pair in pairs]
    chance = random.Random(seed)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES))
    left_out = int(len(medians) * (1 - CONFIDENCE) / 2)
    low, high = medians[left_out], medians[-1 - left_out]
    return Estimate(math.exp(statistics.median(ratios)), math.exp(low), math.exp(high))


def verdict(found: Estimate, thresholds: Thresholds) -> Verdict:
    """Where the whole interval lies, relative to the thresholds."""
    if found.high <= thresholds.full:
        return Verdict.FAST
    if found.low >= thresholds.none:
        return Verdict.SLOW
    if found.low > thresholds.full and found.high < thresholds.none:
        return Verdict.BETWEEN
    return Verdict.UNDECIDED


def is_settled(pairs: Sequence[Pair], thresholds: Thresholds, precision: float) -> bool:
    """Whether more pairs would tell nothing new: the verdict is clear, and between thresholds the ratio is precise."""
    if len(pairs) < FEWEST_PAIRS:
        return False
    found = estimate(pairs)
    where = verdict(found, thresholds)
    return where in (Verdict.FAST, Verdict.SLOW) or (where is Verdict.BETWEEN and found.half_width <= precision)
