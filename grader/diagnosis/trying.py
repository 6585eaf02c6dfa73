"""Known bugs and supposed ones, planted into the reference and asked what the submission was asked.

A test is explained where the answers are the same. Where the code of both is not at hand, as in a student's copy,
nothing is tried.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from ..scoring.outcome import Explanation
from ..submission.interface import Question, Submission
from .clues import size_of
from .fingerprint import apart, fingerprint_transcript
from .known_bugs import FORESEEN, Fingerprint, KnownBug, Transcript, alike, claim_of, wrong_values
from .planting import can_be_together, has_catalogue, planted
from .time_limit import OutOfTime, TimeLimit, Work

if TYPE_CHECKING:
    from ..misconceptions.catalogue import Misconception, Variant


@dataclass(frozen=True, eq=False)
class Wrong:
    """A failing test: what was asked, and fingerprints of what the submission answered.

    whole: whether that is all that was asked. values: the answers themselves; none where they are too large to keep.
    right: gives the right answers, where they are known without asking the reference.
    """

    test: str
    fresh: bool
    asked: tuple[Question, ...]
    answers: Transcript
    whole: bool = True
    values: Sequence[Any] | None = None
    right: Callable[[], Sequence[Any]] | None = None


@dataclass(frozen=True)
class Replies:
    """What was answered to one test's questions: the values, exceptions among them, and their fingerprints."""

    values: Sequence[Any]
    prints: Transcript


_SECONDS_EACH = 2.0
"""So much may one of them take to answer one question; one that takes longer answers otherwise."""
_TRIES_FOR_SEVERAL = 1_200
"""So many questions may the search for several bugs at once ask in one problem, and fewer of large ones."""
_NUMBERS_A_TRY = 2_000
"""A question of so many numbers takes as long as two."""
_ANSWERS_OF_SEVERAL = 3
"""So many different wrong values, or more tests than that, must several bugs give: any may give one by chance."""

_LEAST_SIZE = 1e-3
"""An answer that is smaller than the right one by more than this says little of how it was computed."""
_NEARER, _ROUNDING = 10.0, 1e-5
"""So many times nearer than the right answer is what explains a wrong one, and that is off by more than the second,
relative to the values: no test refuses less, and rounding stays a tenth of it."""


class Trying:
    """Bugs are planted into the reference and asked what the submission was asked; never where it is not here.

    Args:
        bugs: those that may be tried.
        limit: for everything together.
    """

    def __init__(self, bugs: Iterable[KnownBug], limit: TimeLimit) -> None:
        self._limit = limit
        self._problem_of = {bug.id: bug.problem for bug in bugs}
        self._known: dict[tuple[str, str], bool] = {}
        """{(addresses of planted bugs, test): whether that gives what the submission answered}"""

    def explain(
        self, problem: str, wrong: Sequence[Wrong], hypotheses: Sequence[Sequence[str]]
    ) -> dict[str, Explanation]:
        """Plant the bugs of each hypothesis together, and see whether they give the submission's wrong outputs.

        The smallest question of each claim is asked first. Where none of these is answered so, something else is wrong
        in all that is asked, and the larger ones are left.

        Args:
            wrong: ids of tests, their cases and what the submission gave.
            hypotheses: ids of bugs that the stored cases revealed.
        """
        if not hypotheses or not wrong or not has_catalogue():
            return {}
        forms = [combination for bugs in hypotheses for combination in self._forms(bugs)]

        def explained(entries: Iterable[Wrong]) -> dict[str, Explanation]:
            found = {entry.test: next((b for b in forms if self._gives(b, entry)), None) for entry in entries}
            return {
                test: Explanation(bugs[0].id, carried=bugs[0].problem != problem)
                for test, bugs in found.items()
                if bugs is not None
            }

        if not explained(_smallest_of_each_claim(wrong)):
            return {}
        return explained(wrong)

    def explain_by_one_more(
        self, problem: str, wrong: Sequence[Wrong], below: Sequence[str], likely: Sequence[str]
    ) -> dict[str, Explanation]:
        """The one bug of the problem itself that, together with those found below, explains nearly all that is left.

        Args:
            likely: ids of the bugs of the problem to try.
        """
        if not wrong or not has_catalogue():
            return {}
        smallest_first = sorted(wrong, key=_trouble)
        together = [[bug, *below] for bug in likely]
        explained = [
            self.explain(problem, wrong, [bugs])
            for bugs in together
            if any(self.gives_nearly_all(variants, smallest_first[:1]) for variants in self._forms(bugs))
        ]
        most = max(map(len, explained), default=0)
        best = [explanations for explanations in explained if len(explanations) == most]
        return best[0] if len(best) == 1 and most >= FORESEEN * len(wrong) else {}

    def bugs_together(self, hypotheses: Mapping[tuple[str, ...], Sequence[Wrong]]) -> tuple[str, ...]:
        """The one hypothesis whose bugs, planted together, give nearly all of its wrong outputs; () where not one does.

        Args:
            hypotheses: {ids of bugs: what a submission with them must have given}.
        """
        if not has_catalogue():
            return ()
        search, found = Work(_TRIES_FOR_SEVERAL), []
        for bugs, wrong in hypotheses.items():
            values = {value for entry in wrong for value in wrong_values(entry.answers)}
            if len(values) < _ANSWERS_OF_SEVERAL and len(wrong) <= _ANSWERS_OF_SEVERAL:
                continue
            if search.is_over:
                return ()  # another one might do as well
            simplest_first = sorted(wrong, key=_trouble)
            forms = filter(can_be_together, self._forms(bugs))
            if any(self.gives_nearly_all(variants, simplest_first, search) for variants in forms):
                found.append(bugs)
        return found[0] if len(found) == 1 else ()

    def gives_nearly_all(self, bugs: Sequence[Variant], wrong: Sequence[Wrong], search: Work | None = None) -> bool:
        """Whether the reference with these bugs gives nearly all of these answers."""
        may_differ = len(wrong) - FORESEEN * len(wrong)
        for entry in wrong:
            if search is not None:
                search.spend(1 + size_of(entry.asked) / _NUMBERS_A_TRY)
            may_differ -= not self._gives(bugs, entry)
            if may_differ < 0:
                return False
        return True

    def shows(self, bugs: Sequence[Variant], entry: Wrong, beside: Sequence[str] = ()) -> bool:
        """Whether a test fails because of bugs: with them the reference gives all of the submission's answers.

        Values are compared, and such that tell something: exceptions, NaN and zeros are soon given by any code.

        Args:
            beside: ids of known bugs that may be there, too.
        """
        if not entry.whole:
            return False
        for more in self._forms(beside) if beside else [()]:
            given = self._answers((*bugs, *more), entry)
            if alike(given.prints, entry.answers):
                right = self._right(entry)
                return len(given.prints) == len(right.prints) and (
                    all(map(_tells, given.prints, right.prints)) and _explains(given, right, entry)
                )
        return False

    def shown_by(self, bugs: Sequence[Variant], wrong: Sequence[Wrong], beside: Sequence[str] = ()) -> list[Wrong]:
        """Those tests that fail because of bugs, alone or with known ones beside them, as `shows` has it.

        Of each claim the smallest question comes first. Where that fails otherwise the claim is lost, whatever comes of
        the others, and they are not looked at.
        """
        found: list[Wrong] = []
        lost: set[str] = set()
        for entry in sorted(wrong, key=_trouble):
            if claim_of(entry.test) in lost:
                continue
            if self.shows(bugs, entry) or (beside and self.shows(bugs, entry, beside)):
                found.append(entry)
            else:
                lost.add(claim_of(entry.test))
        return found

    def _gives(self, bugs: Sequence[Variant], entry: Wrong) -> bool:
        """Whether the reference with these bugs answers what a test asked as the submission did."""
        key = (" ".join(bug.address for bug in bugs), entry.test)
        if key not in self._known:
            self._known[key] = alike(self._answers(bugs, entry).prints, entry.answers)
        return self._known[key]

    def _right(self, entry: Wrong) -> Replies:
        """What a test should have been answered."""
        if entry.right is None:
            return self._answers((), entry)
        values = entry.right()
        return Replies(values, fingerprint_transcript(values))

    def _answers(self, bugs: Sequence[Variant], entry: Wrong) -> Replies:
        """What the reference with these bugs answers to what a test asked; nothing where that takes too long."""
        opened: list[Any] = []
        handles = sorted({arguments["handle"] for _, arguments in entry.asked if "handle" in arguments})
        if len(handles) > sum(operation.startswith("open_") for operation, _ in entry.asked):
            return Replies((), ())  # what was opened by an earlier test is not here
        try:
            with planted(bugs), self._limit.within(_SECONDS_EACH):
                self._reference.begin_transcript()
                for operation, arguments in entry.asked:
                    with contextlib.suppress(Exception):  # whatever a wrong variant raises is in the transcript
                        if "handle" in arguments:  # handles rise, and those here are others
                            arguments = {**arguments, "handle": opened[handles.index(arguments["handle"])]}
                        answer = self._reference.perform(operation, arguments)
                        opened += [answer] if operation.startswith("open_") else []
        except OutOfTime:
            return Replies((), ())
        values = self._reference.transcript or []
        return Replies(values, fingerprint_transcript(values))

    def _forms(self, bugs: Sequence[str]) -> list[tuple[Misconception, ...]]:
        """These bugs in each of their forms."""
        if not set(bugs) <= self._problem_of.keys():
            return []
        return list(product(*(self._catalogue(self._problem_of[bug])[bug].every_form for bug in bugs)))

    @functools.cache  # noqa: B019  (lives as long as one examination)
    def _catalogue(self, problem: str) -> dict[str, Misconception]:
        from ..misconceptions.catalogue import load_catalogue

        return {misconception.id: misconception for misconception in load_catalogue(problem)}

    @functools.cached_property
    def _reference(self) -> Submission:
        from ..submission.given_weights import GivenWeights

        return GivenWeights(importlib.import_module("grader.reference.adapters"))


def _smallest_of_each_claim(wrong: Iterable[Wrong]) -> Iterable[Wrong]:
    smallest: dict[str, Wrong] = {}
    for entry in sorted(wrong, key=_trouble):
        smallest.setdefault(claim_of(entry.test), entry)
    return smallest.values()


def _trouble(entry: Wrong) -> tuple[bool, int]:
    """How long an answer takes: what watches a call takes several times as long as the call; then size counts."""
    return any(not operation.startswith("run_") for operation, _ in entry.asked), size_of(entry.asked)


def _tells(given: Fingerprint, right: Fingerprint) -> bool:
    """Whether an answer has values, and as many and as large ones, roughly, as the right one."""
    if given[0] == "error" or len(given) != len(right):
        return False
    return len(given) < 3 or (given[2] <= right[2] and given[1] >= _LEAST_SIZE * right[1])


def _explains(given: Replies, right: Replies, entry: Wrong) -> bool:
    """Whether some wrong answer is clearly rather the given than the right one.

    That is seen in the values: their fingerprints are too coarse for a bug that shows a little more than a test allows.
    """
    if entry.values is None:
        return not alike(given.prints, right.prints)
    return any(
        apart(wrong, other) > max(_ROUNDING, _NEARER * apart(wrong, one))
        for wrong, one, other in zip(entry.values, given.values, right.values, strict=True)
    )
