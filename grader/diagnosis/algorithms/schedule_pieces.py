"""The learning-rate schedule: which of its three pieces is wrong, from where on, and which formula it follows.

The student's schedule is asked for every iteration of one small cycle, where its pieces lie open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...scoring.outcome import Clue
from ...submission.interface import Submission
from .asking import NONE, Asker

if TYPE_CHECKING:
    from ..clues import Failure

_HIGH, _LOW, _WARM, _CYCLE = 0.83, 0.11, 7, 24
_SCHEDULE = {"max_learning_rate": _HIGH, "min_learning_rate": _LOW, "warmup_iters": _WARM, "cosine_cycle_iters": _CYCLE}
_CLOSE = 1e-5

Rate = Callable[[int], float]


def _cosine(progress: float, high: float = _HIGH, low: float = _LOW) -> float:
    return low + (1 + math.cos(math.pi * progress)) / 2 * (high - low)


def _progress(it: int) -> float:
    return (it - _WARM) / (_CYCLE - _WARM)


_WARM_UPS: dict[str, Rate] = {
    "counts from 1, (it + 1) / warmup_iters; it is it / warmup_iters": lambda it: (it + 1) / _WARM * _HIGH,
    "divides by warmup_iters - 1": lambda it: it / (_WARM - 1) * _HIGH,
    "divides by warmup_iters + 1": lambda it: it / (_WARM + 1) * _HIGH,
    "is (it + 1) / (warmup_iters + 1); it is it / warmup_iters": lambda it: (it + 1) / (_WARM + 1) * _HIGH,
    "begins at min_learning_rate; it begins at 0": lambda it: _LOW + it / _WARM * (_HIGH - _LOW),
    "begins at min_learning_rate, and goes on to min + max": lambda it: _LOW + it / _WARM * _HIGH,
    "does not rise: the rate is the maximum from the start": lambda it: _HIGH,
    "does not rise: the rate is the minimum": lambda it: _LOW,
    "rises to max - min": lambda it: it / _WARM * (_HIGH - _LOW),
    "rises to the minimum": lambda it: it / _WARM * _LOW,
    "divides whole numbers (//)": lambda it: it // _WARM * _HIGH,
    "is missing: the cosine is there already": lambda it: _cosine(_progress(it)),
    "divides by cosine_cycle_iters; it is it / warmup_iters": lambda it: it / _CYCLE * _HIGH,
    "grows as the square of it": lambda it: (it / _WARM) ** 2 * _HIGH,
    "follows a cosine; it is a straight line": lambda it: (1 - math.cos(math.pi * it / _WARM)) / 2 * _HIGH,
}
_COUNTS: dict[str, Rate] = {
    "": lambda it: it,
    "counts from 1 (it + 1)": lambda it: it + 1,
    "makes 1 of it = 0, as max(1, it) does": lambda it: max(1, it),
    "is one iteration behind": lambda it: it - 1,
}
_DIVISORS = {
    "": _WARM,
    "divides by warmup_iters + 1": _WARM + 1,
    "divides by warmup_iters - 1": _WARM - 1,
    "divides by cosine_cycle_iters": _CYCLE,
}
_RISES: dict[str, Callable[[float], float]] = {
    "": lambda share: share * _HIGH,
    "begins at min_learning_rate": lambda share: _LOW + share * (_HIGH - _LOW),
    "begins at min_learning_rate, and goes on to min + max": lambda share: _LOW + share * _HIGH,
    "is never below min_learning_rate": lambda share: max(_LOW, share * _HIGH),
    "rises to max - min": lambda share: share * (_HIGH - _LOW),
    "rises to the minimum": lambda share: share * _LOW,
    "grows as the square": lambda share: share**2 * _HIGH,
    "follows a cosine": lambda share: (1 - math.cos(math.pi * share)) / 2 * _HIGH,
}
"""Of the warm-up, min(1, it / warmup_iters) * max_learning_rate, each part in every way."""
_PROGRESSES: dict[str, Rate] = {
    "": _progress,
    "its progress is it / cosine_cycle_iters; take warmup_iters off both": lambda it: it / _CYCLE,
    "its progress is (it - warmup_iters) / cosine_cycle_iters; take warmup_iters off the divisor, too": lambda it: (
        (it - _WARM) / _CYCLE
    ),
    "its progress is it / (cosine_cycle_iters - warmup_iters); the warm-up is not taken off": lambda it: (
        it / (_CYCLE - _WARM)
    ),
    "its progress is one iteration ahead": lambda it: (it + 1 - _WARM) / (_CYCLE - _WARM),
    "its progress is one iteration behind": lambda it: (it - 1 - _WARM) / (_CYCLE - _WARM),
    "its progress divides by one too many": lambda it: (it - _WARM) / (_CYCLE - _WARM + 1),
    "its progress divides by one too few": lambda it: (it - _WARM) / (_CYCLE - _WARM - 1),
    "its progress stays 0, as with //": lambda it: float((it - _WARM) // (_CYCLE - _WARM)),
}
_SHAPES: dict[str, Callable[[float], float]] = {
    "": _cosine,
    "pi is missing inside of the cosine": lambda p: _LOW + (1 + math.cos(p)) / 2 * (_HIGH - _LOW),
    "it runs through a whole period (2 pi)": lambda p: _LOW + (1 + math.cos(2 * math.pi * p)) / 2 * (_HIGH - _LOW),
    "it runs through a quarter of a period (pi / 2)": lambda p: _LOW + math.cos(math.pi / 2 * p) * (_HIGH - _LOW),
    "the factor 1/2 before 1 + cos is missing": lambda p: _LOW + (1 + math.cos(math.pi * p)) * (_HIGH - _LOW),
    "it is 1 - cos, which rises; it is 1 + cos": lambda p: _LOW + (1 - math.cos(math.pi * p)) / 2 * (_HIGH - _LOW),
    "it falls to 0, not to min_learning_rate": lambda p: (1 + math.cos(math.pi * p)) / 2 * _HIGH,
    "it falls to 0, and is cut off where it is below min_learning_rate; it falls to min_learning_rate": lambda p: max(
        _LOW, (1 + math.cos(math.pi * p)) / 2 * _HIGH
    ),
    "it spans max_learning_rate; it spans max - min": lambda p: _LOW + (1 + math.cos(math.pi * p)) / 2 * _HIGH,
    "min_learning_rate is not added": lambda p: (1 + math.cos(math.pi * p)) / 2 * (_HIGH - _LOW),
    "it takes degrees (180), and math.cos takes radians": lambda p: _LOW + (1 + math.cos(180 * p)) / 2 * (_HIGH - _LOW),
    "it is a straight line; it is half a cosine": lambda p: _HIGH + p * (_LOW - _HIGH),
    "it is a cosine without 1 + and 1/2": lambda p: _LOW + math.cos(math.pi * p) * (_HIGH - _LOW),
    "it multiplies by max + min; it spans max - min": lambda p: _LOW + (1 + math.cos(math.pi * p)) / 2 * (_HIGH + _LOW),
    "it is a sine; it is a cosine": lambda p: _LOW + (1 + math.sin(math.pi * p)) / 2 * (_HIGH - _LOW),
    "it decays exponentially; it is half a cosine": lambda p: _HIGH * (_LOW / _HIGH) ** p,
}
_AFTERWARDS: dict[str, Rate] = {
    "is 0; it stays at min_learning_rate": lambda it: 0.0,
    "is max_learning_rate; it stays at min_learning_rate": lambda it: _HIGH,
    "goes on along the cosine, and rises again; it stays at min_learning_rate": lambda it: _cosine(_progress(it)),
    "falls until warmup_iters + cosine_cycle_iters; cosine_cycle_iters counts from iteration 0": lambda it: _cosine(
        min((it - _WARM) / _CYCLE, 1.0)
    ),
    "starts a new cosine; it stays at min_learning_rate": lambda it: _cosine(
        (it - _WARM) % (_CYCLE - _WARM) / (_CYCLE - _WARM)
    ),
    "starts over with the warm-up; it stays at min_learning_rate": lambda it: _right(it % _CYCLE),
}


def _right(it: int) -> float:
    if it < _WARM:
        return it / _WARM * _HIGH
    return _cosine(_progress(it)) if it < _CYCLE else _LOW


def find(failure: Failure, submission: Submission) -> Clue | None:
    """Which piece of the schedule is wrong, and what it is instead."""
    if failure.bug or failure.problem != "learning_rate_schedule":
        return None
    pieces = {
        "warm-up": list(range(_WARM)),
        "cosine": list(range(_WARM + 1, _CYCLE)),
        "after": list(range(_CYCLE + 1, 2 * _CYCLE + 3)),
    }
    corners = {"top": _WARM, "end": _CYCLE}
    its = sorted({it for piece in pieces.values() for it in piece} | set(corners.values()))
    ask = Asker(submission)
    asked = {"iterations": its, "schedule": dict(_SCHEDULE)}
    rates = ask.perform("learning_rates", asked)
    if rates is NONE or not all(isinstance(rate, (int, float)) for rate in rates.values()):
        return None
    says: list[str] = []
    wrong = {name: [it for it in piece if not _close(rates[it], _right(it))] for name, piece in pieces.items()}
    about = {"test_warmup": ("warm-up",), "test_after_the_cycle": ("after",), "test_cosine": ("cosine",)}
    for name in set(wrong) - set(about.get(failure.claim.rpartition("::")[2], wrong)):
        wrong[name] = []
    if wrong["warm-up"]:
        says.append(_of_warm_up(pieces["warm-up"], rates, wrong["warm-up"]))
    if wrong["cosine"]:
        says.append(_of_cosine(pieces["cosine"], rates, wrong["cosine"]))
    if wrong["after"]:
        says.append(_piece(pieces["after"], rates, _AFTERWARDS, "After the cycle your rate", wrong["after"], "the end"))
    for name, it in corners.items():
        if not _close(rates[it], _right(it)) and not any(wrong.values()):
            which = "warmup_iters" if name == "top" else "cosine_cycle_iters"
            says.append(
                f"Only at it = {which} your rate is another one: {rates[it]:.6g} for {_right(it):.6g}. Both "
                "pieces that meet there give that value in the formula; which of your comparisons has <, and which <=?"
            )
    return Clue.of_cause(*filter(None, says))


def _of_warm_up(its: Sequence[int], rates: Mapping[int, Any], wrong: Sequence[int]) -> str:
    fitting = [
        [part for part in (count, divisor, rise) if part]
        for count, of in _COUNTS.items()
        for divisor, over in _DIVISORS.items()
        for rise, height in _RISES.items()
        if all(_close(rates[it], height(of(it) / over)) for it in its)
    ]
    least = min(map(len, fitting), default=0)
    fewest = [parts for parts in fitting if len(parts) == least]
    if len(fewest) == 1 and least and not _all_fitting(its, rates, _WARM_UPS):
        return f"Your warm-up {' and '.join(fewest[0])}; it is it / warmup_iters of max_learning_rate."
    return _piece(its, rates, _WARM_UPS, "Your warm-up", wrong, "the warm-up")


def _all_fitting(its: Sequence[int], rates: Mapping[int, Any], formulas: Mapping[str, Rate]) -> list[str]:
    """The formulas that give all of these rates."""
    return [says for says, rate in formulas.items() if all(_close(rates[it], rate(it)) for it in its)]


def _piece(
    its: Sequence[int],
    rates: Mapping[int, Any],
    formulas: Mapping[str, Rate],
    begins: str,
    wrong: Sequence[int],
    what: str,
) -> str:
    fitting = _all_fitting(its, rates, formulas)
    if len(fitting) == 1:
        return f"{begins} {fitting[0]}."
    return _first_wrong(rates, wrong, what)


def _of_cosine(its: Sequence[int], rates: Mapping[int, Any], wrong: Sequence[int]) -> str:
    fitting = [
        [part for part in (shape, progress) if part]
        for shape, height in _SHAPES.items()
        for progress, of in _PROGRESSES.items()
        if all(_close(rates[it], height(of(it))) for it in its)
    ]
    if all(_close(rates[it], _HIGH) for it in its):
        return "Your rate stays at max_learning_rate where the cosine should be."
    if all(_close(rates[it], _LOW) for it in its):
        return "Your rate is min_learning_rate where the cosine should be."
    least = min(map(len, fitting), default=0)
    fewest = [parts for parts in fitting if len(parts) == least]
    if len(fewest) == 1 and least:
        return f"In your cosine, {' and '.join(fewest[0])}."
    return _first_wrong(rates, wrong, "the cosine")


def _first_wrong(rates: Mapping[int, Any], wrong: Sequence[int], what: str) -> str:
    it = wrong[0]
    return (
        f"With max {_HIGH}, min {_LOW}, warmup_iters {_WARM} and cosine_cycle_iters {_CYCLE}, your rate at it = {it} "
        f"is {rates[it]:.6g}; it should be {_right(it):.6g}. That is the first wrong one of {what}."
    )


def _close(one: float, other: float) -> bool:
    return math.isfinite(one) and abs(one - other) <= _CLOSE * _HIGH
