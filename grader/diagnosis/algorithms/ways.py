"""Ways in which a step of an algorithm can be done, and the search for those that a student's answers come from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..time_limit import Work

MOST_RIVALS = 3
"""Of more explanations that fit equally well none is worth reading."""


@dataclass(frozen=True)
class Way:
    """One step done otherwise.

    step: of the algorithm; name: what its plain form calls this way of doing it; says: the sentences for a student,
    what the code does first, and then what was asked.
    """

    step: str
    name: str
    says: str
    alone: bool = False


Explanation = tuple[Way, ...]
"""All that is done otherwise; all other steps are right."""


class Steps:
    """How each step is done: the ways named, and "right" for all other steps."""

    def __init__(self, ways: Iterable[Way] = ()) -> None:
        self._names = {way.step: way.name for way in ways}

    def __getitem__(self, step: str) -> str:
        return self._names.get(step, "right")


def explanations(
    ways: Sequence[Way], fits: Callable[[Explanation], bool], work: Work, together: int = 2
) -> list[Explanation]:
    """The smallest explanations that fit: single ways, or else as many together as it takes.

    Args:
        fits: whether the student's answers are what comes of these ways.
        work: so many explanations may be tried; where the search is not done by then, there is nothing to say.
        together: so many ways at most.
    """
    for count in range(1, together + 1):
        found = []
        for some in itertools.combinations(ways, count):
            if work.is_over:
                return []
            if count > 1 and any(way.alone for way in some):
                continue
            if len({way.step for way in some}) == count:
                work.spend()
                if fits(some):
                    found.append(some)
        if found:
            return found
    return []


def told_apart(
    rivals: Sequence[Explanation],
    questions: Iterable[Any],
    predict: Callable[[Explanation, Any], object],
    ask: Callable[[Any], object],
    most: int = 4,
) -> list[Explanation]:
    """Those of the rivals that also foresee the answers to questions on which they disagree.

    Args:
        most: so many questions are asked at most.
    """
    left = list(rivals)
    asked = 0
    for question in questions:
        if len(left) < 2 or asked == most:
            break
        foreseen = [predict(rival, question) for rival in left]
        if all(one == foreseen[0] for one in foreseen[1:]):
            continue
        answer = ask(question)
        asked += 1
        left = [rival for rival, one in zip(left, foreseen, strict=True) if one == answer]
    return left


def sentences(found: Sequence[Explanation]) -> tuple[str, ...]:
    """What is said of explanations that fit equally well: one, either of a few, or nothing."""
    distinct = list(dict.fromkeys(tuple(way.says for way in explanation) for explanation in found))
    if not distinct or len(distinct) > MOST_RIVALS:
        return ()
    if len(distinct) == 1:
        return distinct[0]
    return tuple(_alternatives(distinct))


def _alternatives(distinct: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"One of these {len(distinct)} is what your code does; each gives exactly your answers here."
    for number, says in enumerate(distinct, start=1):
        yield f"({number}) {' '.join(says)}"
