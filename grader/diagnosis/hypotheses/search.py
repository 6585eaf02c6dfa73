"""The search: which changes of a formula give just what a submission answered.

Single changes come first, then two together. What is left when several fit one call is asked of the submission again
with other inputs; so what is said has held for three calls or so, and is no coincidence of one.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from .change import Change, Hypothesis, go_together
from .evidence import Evidence, distance

_MOST_FOUND = 24
"""So many hypotheses that fit one call are kept to be tried on others."""


@dataclass
class Search:
    """The search for what explains one wrong call.

    ends: of the clock of `time.monotonic`, when it has to stop. active: single changes that do something to the call's
    output, and no two the same, once `singles` was asked.
    """

    wrong: Evidence
    ends: float
    active: list[Change] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.ends

    def fitting(self, hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
        """Those that give the wrong answer."""
        found = []
        for hypothesis in hypotheses:
            if self.is_over or len(found) >= _MOST_FOUND:
                break
            if self.wrong.agrees(hypothesis):
                found.append(hypothesis)
        return found

    def singles(self, space: Sequence[Change]) -> list[Hypothesis]:
        """The single changes that give the wrong answer; takes note of those that do anything at all."""
        found, seen = [], [self.wrong.predicted()]
        for change in space:
            if self.is_over:
                break
            try:
                prediction = self.wrong.predicted((change,))
            except Exception:  # a change that does not fit these arguments
                continue
            if self.wrong.distance(prediction) <= self.wrong.close:
                found.append((change,))
            if not any(max(map(distance, prediction, other)) < 1e-9 for other in seen):
                seen.append(prediction)
                self.active.append(change)
        return found

    def pairs(self) -> list[Hypothesis]:
        """Two changes together that give the wrong answer: the likely ones first, as long as there is time."""
        return self.fitting(_pairs(self.active))


def _pairs(changes: Sequence[Change]) -> Iterator[Hypothesis]:
    """All pairs, in the order of the sum of their places."""
    for total in range(1, 2 * len(changes) - 2):
        for i in range(max(0, total - len(changes) + 1), (total + 1) // 2):
            one, other = changes[i], changes[total - i]
            if go_together(one, other):
                yield one, other


def same_everywhere(hypotheses: Sequence[Hypothesis], evidence: Iterable[Evidence]) -> bool:
    """Whether hypotheses give the same output for all of these arguments."""
    for one, call in itertools.product([hypotheses[0]], evidence):
        for other in hypotheses[1:]:
            try:
                if max(map(distance, call.predicted(one), call.predicted(other))) > 1e-7:
                    return False
            except Exception:  # one of them fits these arguments and the other does not
                return False
    return True
