"""Changes with a number that nobody declared: it is read off the wrong answers, and has to give all of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from .asked_call import AskedCall, distance
from .change import Change, FormulaStep
from .formulas import FORMULAS

_SPACING, _SLACK = 0.05, 1e-4
_TRIED = [i * _SPACING for i in range(-120, 121) if abs(i) <= 40 or not i % 4]
"""Of e: numbers from 1/400 to 400 are tried, those from 1/7 to 7 closely, and the best one is refined."""
_LOWS = 2
"""Beyond that, closely too where an answer is nearest."""
_PLAIN = (0.5, 2.0, 1 / 3, 3.0, 0.25, 4.0, math.pi, 1 / math.pi, 2 * math.pi, 0.5 / math.pi)
_REFINEMENTS = 22
_GOLDEN = (math.sqrt(5) - 1) / 2
_FEW = 2
_SAME = 1e-9
_CAREFUL, _MOST_LEFT_OUT = 0.5, 8.0
"""Of the way that an answer is off at least, as fast as predictions change there, so much is gone at once."""

Family = Callable[[float], Change]


def fitted(wrong: Sequence[AskedCall]) -> Iterator[Change]:
    """Each step of an operation's own, multiplied by a number, for those of which one gives the first wrong answer.

    Args:
        wrong: answers of one operation, the smallest first. Larger ones make the number more exact.
    """
    first, *others = wrong
    for place, step in FORMULAS.of[first.operation].steps.items():
        for family in _families(place, step):
            exponent = _fit(first, family)
            if exponent is not None:
                yield family(math.exp(_refined_by_all(others, family, exponent)))


def _families(place: str, step: FormulaStep) -> Iterator[Family]:
    def of_step(factor: float) -> Change:
        return Change(place, _times(step.does, factor), f"a factor of {factor:.4g} is multiplied into {step.gives}")

    def of_what_comes_before(factor: float) -> Change:
        does = _times(lambda first, *_: first, factor)
        return Change(place, does, f"{factor:.4g} times what comes before stands where {step.gives} should be")

    yield of_step
    yield of_what_comes_before


def _times(does: Callable[..., Any], factor: float) -> Callable[..., Any]:
    def take(*arguments: Any) -> Any:
        value = does(*arguments)
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise ValueError("no real numbers")
        return factor * value

    return take


def _fit(wrong: AskedCall, family: Family) -> float | None:
    """The exponent of the number that gives an answer; None if none does."""
    off = functools.cache(lambda exponent: _off(wrong, family, exponent))
    if not math.isfinite(off(0.0)):
        return None
    if (solved := _solved(wrong, family)) is not None:
        return solved if off(solved) <= wrong.close else None
    tried = _tried(wrong, family)
    near = [low + i * _SPACING for low in _lows(tried) for i in (-2, -1, 1, 2)]
    best = min([*near, *tried, *map(math.log, _PLAIN)], key=lambda exponent: tried.get(exponent) or off(exponent))
    if off(best) > wrong.close:
        best = _refined(wrong, family, best, _SPACING)
    return best if _off(wrong, family, best) <= wrong.close else None


def _tried(wrong: AskedCall, family: Family) -> dict[float, float]:
    """{exponent: how far off the prediction is}. Where predictions change slowly and are far off, some are left out."""
    found: dict[float, float] = {}
    before: tuple[float, Sequence[Tensor]] | None = None
    place = 0
    while place < len(_TRIED):
        exponent = _TRIED[place]
        prediction = _predicted(wrong, family, exponent)
        found[exponent] = wrong.distance(prediction) if prediction else math.inf
        step = 1
        if before is not None and prediction and math.isfinite(found[exponent]):
            slope = max(map(distance, prediction, before[1])) / (exponent - before[0])
            step = int(max(1, min(_MOST_LEFT_OUT, _CAREFUL * found[exponent] / (slope * _SPACING + 1e-9))))
        before = (exponent, prediction) if prediction else None
        place += step
    return found


def _solved(wrong: AskedCall, family: Family) -> float | None:
    """The one exponent that may do where the number is a factor or a power of it in each value; None elsewhere.

    Or where it is added to, times something. Three predictions show that.
    """
    (right,) = wrong.answer if len(wrong.answer) == 1 else (None,)
    try:
        once, twice, four_times = (wrong.predicted((family(factor),))[0] for factor in (1.0, 2.0, 4.0))
    except Exception:  # a change that does not fit these arguments
        return None
    if right is None or right.shape != once.shape or not all(t.isfinite().all() for t in (right, once, twice)):
        return None
    slope = twice - once
    if distance(four_times - twice, 2 * slope) < _SAME:
        factor = 1 + _share(right - once, slope)
        return math.log(factor) if factor > 0 else 0.0
    growth = _share(twice, once)
    if growth > 0 and distance(twice, growth * once) < _SAME and distance(four_times, growth * twice) < _SAME:
        share = _share(right, once)
        return math.log(share) / math.log2(growth) * math.log(2) if share > 0 and abs(growth - 1) > _SAME else 0.0
    return None


def _share(of: Tensor, in_terms_of: Tensor) -> float:
    """The number of times that the second is nearest to the first."""
    return float((of * in_terms_of).sum() / in_terms_of.square().sum().clamp(min=1e-300))


def _lows(tried: dict[float, float]) -> list[float]:
    """Where an answer is nearer than at both neighbours, the nearest of these places first."""
    values = [math.inf, *tried.values(), math.inf]
    lows = [
        (value, exponent)
        for before, value, after, exponent in zip(values, values[1:], values[2:], tried, strict=False)
        if value <= before and value <= after
    ]
    return [exponent for _, exponent in sorted(lows)[:_LOWS]]


def _refined_by_all(wrong: Sequence[AskedCall], family: Family, exponent: float) -> float:
    """The nearest answers first, so that each narrows the number enough for the next; a few do."""
    nearest_first = sorted(wrong, key=lambda call: _off(call, family, exponent))
    for call in (*nearest_first[:_FEW], *nearest_first[_FEW:][-_FEW:]):
        exponent = _refined(call, family, exponent, _SLACK)
    return exponent


def _refined(wrong: AskedCall, family: Family, exponent: float, within: float) -> float:
    """By golden sections: each asks once, and leaves three fifths of where the best exponent may be."""
    low, high = exponent - within, exponent + within
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    off_left, off_right = (_off(wrong, family, place) for place in (left, right))
    for _ in range(_REFINEMENTS):
        if off_left <= off_right:
            high, right, off_right = right, left, off_left
            left = high - _GOLDEN * (high - low)
            off_left = _off(wrong, family, left)
        else:
            low, left, off_left = left, right, off_right
            right = low + _GOLDEN * (high - low)
            off_right = _off(wrong, family, right)
    middle = (low + high) / 2
    return middle if _off(wrong, family, middle) < _off(wrong, family, exponent) else exponent


def _off(wrong: AskedCall, family: Family, exponent: float) -> float:
    prediction = _predicted(wrong, family, exponent)
    return wrong.distance(prediction) if prediction else math.inf


def _predicted(wrong: AskedCall, family: Family, exponent: float) -> Sequence[Tensor]:
    """With all of its numbers; () where there are none."""
    try:
        prediction = wrong.predicted((family(math.exp(exponent)),))
    except Exception:  # a change that does not fit these arguments
        return ()
    return prediction if not any(part.isnan().any() for part in prediction) else ()
