"""What can be found out about a failure that no known bug explains, or that one explains without saying where.

Each *source* looks at one failure in its own way and says what it is sure of, or nothing: a wrong clue costs a student
more than none. What a source says is for reading; no point depends on it, so it may ask the submission once more and
believe the answer.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..cases.case import Case
from ..scoring.outcome import Clue, Outcome
from ..submission.interface import Question, Submission


@dataclass(frozen=True)
class Failure:
    """One failed test, as a source sees it.

    case: that of the test, or None; asked: what the test asked of the submission, in order; answers: what came of it,
    values and exceptions; bug: id of the known bug that explains it, or ""; later: further calls that it made, after
    those, where one of many may be the wrong one.
    """

    problem: str
    outcome: Outcome
    claim: str
    case: Case | None
    asked: tuple[Question, ...]
    answers: tuple[Any, ...]
    bug: str = ""
    later: tuple[tuple[Question, Any], ...] = ()

    @property
    def calls(self) -> list[tuple[Question, Any]]:
        """All that it asked, in order, each with what came of it."""
        return [*zip(self.asked, self.answers, strict=False), *self.later]

    @property
    def test(self) -> str:
        return self.outcome.id


def size_of(value: Any) -> int:
    """How many numbers and characters a value holds."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return value.numel() if isinstance(value, torch.Tensor) else value.size
    if isinstance(value, dict):
        return sum(map(size_of, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(size_of, value))
    return len(value) if isinstance(value, (str, bytes)) else 1


Source = Callable[[Failure, Submission], Clue | None]

_MOST_FAILURES = 60
"""Of so many failures clues are looked for in one examination; what is left goes without."""

_SECONDS = 60.0
"""So long may that take on the clock at most, where a submission takes seconds for every answer."""


def find_clues(failures: Iterable[Failure], submission: Submission, sources: Sequence[Source]) -> dict[str, Clue]:
    """{failed test: what was found out about it}.

    Args:
        failures: the most telling ones first, at most one a claim; what is carried forward is not among them.
        sources: in the order in which their sentences are read; `sources.py` has them all.
    """
    ends = time.monotonic() + _SECONDS
    found: dict[str, Clue] = {}
    for failure in itertools.islice(failures, _MOST_FAILURES):
        for source in sources:
            if time.monotonic() > ends:
                return found
            if clue := source(failure, submission):
                found[failure.test] = found[failure.test] | clue if failure.test in found else clue
    return found
