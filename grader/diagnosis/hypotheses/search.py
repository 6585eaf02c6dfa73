"""The search: which changes of a formula give just what a submission answered.

Single changes come first, then two together. What is left when several fit one call is asked of the submission again
with other inputs; so what is said has held for three calls or so, and is no coincidence of one.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..clues import size_of
from ..time_limit import Work
from .asked_call import AskedCall, distance
from .change import Change, Hypothesis, go_together
from .formulas import FORMULAS

_NUMBERS_A_STEP = 10_000
"""So many numbers among the arguments take as long as one step of a formula takes for few."""

_MOST_FOUND = 24
"""So many hypotheses that fit one call are kept to be tried on others."""


@dataclass
class Search:
    """The search for what explains one wrong call.

    work: what it may do, in steps of formulas (30 microseconds each). active: single changes that do something to the
    call's output, and no two of one step the same, once `singles` was asked.
    """

    wrong: AskedCall
    work: Work
    active: list[Change] = field(default_factory=list)
    _seen: set[Any] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._right = _key(self.wrong.predicted())
        gave = FORMULAS.evaluate(self.wrong.operation, self.wrong.given)[1]
        self._steps = sum(map(len, gave.values())) + size_of(self.wrong.given) / _NUMBERS_A_STEP

    def fitting(self, hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
        """Those that give the wrong answer."""
        return list(itertools.islice(self.all_fitting(hypotheses), _MOST_FOUND))

    def all_fitting(self, hypotheses: Iterable[Hypothesis]) -> Iterator[Hypothesis]:
        """The same, one after the other, however many there are."""
        for hypothesis in hypotheses:
            if self.work.is_over:
                return
            self.work.spend(self._steps)
            if self.wrong.agrees(hypothesis):
                yield hypothesis

    def singles(self, space: Iterable[Change]) -> list[Hypothesis]:
        """The single changes that give the wrong answer; takes note of those that do anything at all."""
        found: list[Hypothesis] = []
        for change in space:
            if self.work.is_over:
                break
            self.work.spend(self._steps)
            try:
                prediction = self.wrong.predicted((change,))
            except Exception:  # a change that does not fit these arguments
                continue
            if self.wrong.fits(prediction, (change,)):
                found.append((change,))
            key = _key(prediction)
            if (change.place, key) not in self._seen and key != self._right:
                self._seen.add((change.place, key))
                self.active.append(change)
        return found

    def pairs(self) -> list[Hypothesis]:
        """Two changes together that give the wrong answer: the likely ones first, as long as there is time."""
        return self.fitting(_pairs(self.active))


def _key(prediction: Sequence[Tensor]) -> tuple[Any, ...]:
    """The same for predictions that are the same up to rounding."""
    flat = [part.reshape(-1).nan_to_num(1e30, 1e31, -1e31) for part in prediction]
    return tuple(
        (tuple(part.shape), f"{_projected(values):.8e}") for part, values in zip(prediction, flat, strict=True)
    )


def _projected(values: Tensor) -> float:
    return float(values @ _weights(len(values)))


@functools.lru_cache(maxsize=16)
def _weights(size: int) -> Tensor:
    return torch.linspace(1, 2, size, dtype=torch.float64).square()


def _pairs(changes: Sequence[Change]) -> Iterator[Hypothesis]:
    """All pairs, in the order of the sum of their places."""
    for total in range(1, 2 * len(changes) - 2):
        for i in range(max(0, total - len(changes) + 1), (total + 1) // 2):
            one, other = changes[i], changes[total - i]
            if go_together(one, other):
                yield one, other


def same_everywhere(hypotheses: Sequence[Hypothesis], evidence: Iterable[AskedCall]) -> bool:
    """Whether hypotheses give the same output for all of these arguments, or fit none of them."""
    for call in evidence:
        first, *others = (_predicted(call, hypothesis) for hypothesis in hypotheses)
        for other in others:
            if len(first) != len(other) or max(map(distance, first, other), default=0.0) > 1e-7:
                return False
    return True


def _predicted(call: AskedCall, hypothesis: Hypothesis) -> Sequence[Tensor]:
    try:
        return call.predicted(hypothesis)
    except Exception:  # a change that does not fit these arguments
        return ()
