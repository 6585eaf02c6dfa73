"""The rules of `python -m grader hunt`: which bug is planted, among which it is named, and what a round was worth.

Pure: values in, values out. `hunt_session.py` asks, prints and remembers.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..cases.hunt_table import HuntTable, same_output
from ..diagnosis.known_bugs import KnownBug

CHOICES = 4
"""So many sentences one bug is named among, as far as there are so many bugs."""

_PLAUSIBLE = 6
"""From so many of the likest bugs the other sentences are drawn, so that a bug does not always come with the same."""

_MOST_LOOKS = 3
"""No set of more inputs is searched for the fewest that settle a round."""

_FREQUENCIES = ("common", "occasional", "rare")

UNKNOWN = object()
"""In the place of an output of one's own code: nothing can be said."""

NAMED, EXPOSED = "named", "exposed"
"""The two ways to find a bug: name it by its outputs; or be told its name, and choose an input in which it shows."""

Progress = Mapping[str, Mapping[str, Mapping[str, int]]]
"""{problem: {bug: {"named": looks that it took, "exposed": tries}}}; of several rounds, the one that took fewest."""


@dataclass(frozen=True)
class Round:
    """One bug, planted; and what was done to find it.

    choices: ids of the bugs among which it is, in the order in which they are shown.
    looked: numbers of the inputs that were looked at; refuted: choices that were named and are not it.
    """

    table: HuntTable
    bug: str
    choices: tuple[str, ...]
    looked: tuple[int, ...] = ()
    refuted: tuple[str, ...] = ()

    def after_looking(self, number: int) -> Round:
        """Looking twice at one input counts once."""
        return self if number in self.looked else replace(self, looked=(*self.looked, number))

    def after_naming(self, bug: str) -> Round:
        """A wrong name is struck out."""
        return self if bug in (self.bug, *self.refuted) else replace(self, refuted=(*self.refuted, bug))

    @property
    def shows_in(self) -> tuple[int, ...]:
        """Numbers of the inputs in which the bug shows, the simplest first."""
        return tuple(sorted(self.table.wrong[self.bug]))

    def speaks_against(self, bug: str) -> int | None:
        """The first input, of those looked at, for which that bug would give something else; None if there is none."""
        return next((number for number in self.looked if self.table.tells_apart(self.bug, bug, number)), None)

    @property
    def undecided(self) -> tuple[str, ...]:
        """Choices other than the bug that all inputs so far would fit as well."""
        others = (bug for bug in self.choices if bug != self.bug and bug not in self.refuted)
        return tuple(bug for bug in others if self.speaks_against(bug) is None)

    def fewest_looks(self) -> tuple[int, ...]:
        """A smallest set of inputs that tells the bug from all other choices; () where none of up to three does."""
        others = [bug for bug in self.choices if bug != self.bug]
        told = {
            number: {bug for bug in others if self.table.tells_apart(self.bug, bug, number)}
            for number in range(len(self.table.inputs))
        }
        for size in range(1, _MOST_LOOKS + 1):
            for numbers in itertools.combinations(told, size):
                if len(set().union(*(told[number] for number in numbers))) == len(others):
                    return numbers
        return ()


def next_bug(bugs: Iterable[KnownBug], found: Collection[str], draw: random.Random) -> KnownBug:
    """A bug that was not found yet, common ones first; once all were found, any one.

    Args:
        bugs: at least one.
    """
    known = list(bugs)
    left = [bug for bug in known if bug.id not in found]
    for frequency in _FREQUENCIES:
        if candidates := [bug for bug in left if bug.frequency == frequency]:
            return draw.choice(candidates)
    return draw.choice(left or known)


def new_round(table: HuntTable, bug: str, draw: random.Random) -> Round:
    """Plant a bug and choose what it is named among: bugs that show in nearly the same inputs, with other outputs."""
    others = [other for other in table.wrong if other != bug and _differ(table, bug, other)]
    likest = sorted(others, key=lambda other: -_likeness(table.wrong[bug], table.wrong[other]))[:_PLAUSIBLE]
    choices = [bug, *draw.sample(likest, min(CHOICES - 1, len(likest)))]
    draw.shuffle(choices)
    return Round(table, bug, tuple(choices))


def _differ(table: HuntTable, one: str, other: str) -> bool:
    return any(table.tells_apart(one, other, number) for number in range(len(table.inputs)))


def _likeness(one: Collection[int], other: Collection[int]) -> float:
    """How much the inputs have in common in which two bugs show: 1 where they are the same ones."""
    return len(set(one) & set(other)) / len(set(one) | set(other))


def first_wrong(table: HuntTable, outputs: Sequence[Any]) -> int | None:
    """The first input for which one's own code gives something else than what is right.

    Args:
        outputs: one for each input, UNKNOWN where nothing can be said.
    """
    for number, (one, output) in enumerate(zip(table.inputs, outputs, strict=True)):
        if output is not UNKNOWN and not same_output(one.right, output):
            return number
    return None


def known_right(table: HuntTable, outputs: Sequence[Any]) -> list[Any]:
    """One's own outputs where they are right, UNKNOWN in the place of all others.

    Args:
        outputs: one for each input, or none at all.
    """
    padded = [*outputs, *[UNKNOWN] * (len(table.inputs) - len(outputs))]
    return [
        output if output is not UNKNOWN and same_output(one.right, output) else UNKNOWN
        for one, output in zip(table.inputs, padded, strict=True)
    ]


def with_found(progress: Progress, problem: str, bug: str, way: str, took: int) -> Progress:
    """The progress after a round that found its bug with so many looks or tries."""
    of_problem = progress.get(problem, {})
    of_bug = of_problem.get(bug, {})
    best = min(took, of_bug.get(way, took))
    return {**progress, problem: {**of_problem, bug: {**of_bug, way: best}}}


def found_in(progress: Progress, problem: str, way: str) -> set[str]:
    """Ids of the bugs that were found in one of the two ways."""
    return {bug for bug, took in progress.get(problem, {}).items() if way in took}


def read_progress(plain: Any) -> Progress:
    """Progress from what a file holds; what has another form is as if it were not there."""
    if not isinstance(plain, dict):
        return {}
    return {
        str(problem): {
            str(bug): {way: took for way, took in ways.items() if way in (NAMED, EXPOSED) and type(took) is int}
            for bug, ways in bugs.items()
            if isinstance(ways, dict)
        }
        for problem, bugs in plain.items()
        if isinstance(bugs, dict)
    }
