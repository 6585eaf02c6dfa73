"""Changes with a number that nobody declared: it is read off the wrong answers, and has to give all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from .asked_call import AskedCall
from .change import Change, FormulaStep
from .formulas import FORMULAS

_SPACING, _SLACK = 0.05, 1e-4
_EXPONENTS = [i * _SPACING for i in range(-120, 121)]
"""Of e: numbers from 1/400 to 400 are tried, and the best one is refined."""
_PLAIN = (0.5, 2.0, 1 / 3, 3.0, 0.25, 4.0, math.pi, 1 / math.pi, 2 * math.pi, 0.5 / math.pi)
_REFINEMENTS = 30
_FEW = 2

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
        return Change(place, _times(step.does, factor), f"{step.gives}, times {factor:.4g}")

    def of_what_comes_before(factor: float) -> Change:
        does = _times(lambda first, *_: first, factor)
        return Change(place, does, f"instead of {step.gives}, what comes before, times {factor:.4g}")

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
    if not math.isfinite(_off(wrong, family, 0.0)):
        return None
    best = min([*_EXPONENTS, *map(math.log, _PLAIN)], key=lambda exponent: _off(wrong, family, exponent))
    if _off(wrong, family, best) > wrong.close:
        best = _refined(wrong, family, best, _SPACING)
    return best if _off(wrong, family, best) <= wrong.close else None


def _refined_by_all(wrong: Sequence[AskedCall], family: Family, exponent: float) -> float:
    """The nearest answers first, so that each narrows the number enough for the next; a few do."""
    nearest_first = sorted(wrong, key=lambda call: _off(call, family, exponent))
    for call in (*nearest_first[:_FEW], *nearest_first[_FEW:][-_FEW:]):
        exponent = _refined(call, family, exponent, _SLACK)
    return exponent


def _refined(wrong: AskedCall, family: Family, exponent: float, within: float) -> float:
    low, high = exponent - within, exponent + within
    for _ in range(_REFINEMENTS):
        third = (high - low) / 3
        if _off(wrong, family, low + third) <= _off(wrong, family, high - third):
            high -= third
        else:
            low += third
    middle = (low + high) / 2
    return middle if _off(wrong, family, middle) < _off(wrong, family, exponent) else exponent


def _off(wrong: AskedCall, family: Family, exponent: float) -> float:
    try:
        found = wrong.distance(wrong.predicted((family(math.exp(exponent)),)))
    except Exception:  # a change that does not fit these arguments
        return math.inf
    return found if not math.isnan(found) else math.inf
