"""Follow the failures of one examination back to known bugs.

It keeps the fingerprints of failing tests on stored cases, which `diagnosis` compares with the stored evidence,
and the outputs of failing cases. Where the misconceptions themselves are at hand (staff), the bugs that were found are
planted into the reference and asked what the submission was asked: a case is explained when the answers are the same.
So it is with fresh cases, for which there is no stored evidence, and with the work of several bugs at once.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter

from ..cases.case import Case
from ..scoring.outcome import Explanation, Outcome, Result
from ..submission.interface import Question, Submission
from .clues import Failure, claim_of, size_of
from .fingerprint import CALLS_KEPT, fingerprint_transcript
from .known_bugs import FORESEEN, KnownBug, Transcript, alike, contradicted_by_none, diagnose, load_known_bugs
from .planting import has_catalogue, planted


@dataclass(frozen=True)
class Wrong:
    """A failing test on a case: what was asked, and fingerprints of what the submission answered."""

    test: str
    fresh: bool
    asked: tuple[Question, ...]
    answers: Transcript


_CLAIMS_EACH = 12
"""Of so many claims of a problem clues are looked for: those that a report shows first are seldom the smallest."""

_VALUES_KEPT = 1 << 20
"""Failures with more numbers and characters than this are not kept to be looked at again."""

_UNKNOWN = (Result.TODO, Result.SKIP, Result.ABSENT, Result.NOT_RUN)
"""Results that say nothing about what the code does."""
_NO_FAILURE = (Result.PASS, *_UNKNOWN)


@dataclass
class Attribution:
    """What one examination has seen so far.

    needs: {problem: the problems that it builds on}, for those examined and what lies between them.
    """

    needs: Mapping[str, tuple[str, ...]]
    _failing: dict[str, dict[str, Transcript]] = field(default_factory=dict)
    _ran: dict[str, set[str]] = field(default_factory=dict)
    _wrong: dict[str, list[Wrong]] = field(default_factory=dict)
    _simplest: dict[str, dict[str, Failure]] = field(default_factory=dict)
    """{problem: {claim: of its failures, the one with the smallest inputs}}"""

    def follow(self, problem: str, outcome: Outcome, case: Case | None, submission: Submission) -> None:
        """Take note of a test that has finished, and of the calls that it made of the submission."""
        failed = outcome.result not in _NO_FAILURE
        transcript = submission.transcript or []
        if failed and case is not None and transcript:
            asked = tuple(submission.asked[:CALLS_KEPT])
            wrong = Wrong(outcome.id, case.fresh, asked, fingerprint_transcript(transcript))
            self._wrong.setdefault(problem, []).append(wrong)
        if failed:
            self._keep_simplest(problem, outcome, case, submission)
        if case is not None and case.fresh:
            return
        if outcome.result in _UNKNOWN:
            return
        self._ran.setdefault(problem, set()).add(outcome.id)
        if failed:
            self._failing.setdefault(problem, {})[outcome.id] = fingerprint_transcript(transcript)

    def _keep_simplest(self, problem: str, outcome: Outcome, case: Case | None, submission: Submission) -> None:
        """Of each claim keep the failure with the smallest inputs, for `clues`."""
        asked, answers = tuple(submission.asked[:CALLS_KEPT]), tuple((submission.transcript or [])[:CALLS_KEPT])
        claim = claim_of(outcome.id)
        kept = self._simplest.setdefault(problem, {})
        if size_of(asked) + size_of(answers) <= _VALUES_KEPT and (
            claim not in kept or _order(case, asked) < _order(kept[claim].case, kept[claim].asked)
        ):
            kept[claim] = Failure(problem, outcome, claim, case, asked, answers)

    def failures(self, explained: Mapping[str, Explanation]) -> list[Failure]:
        """The simplest failure of a few claims of each problem: what it builds on first, smallest inputs first.

        Args:
            explained: as `explain` gives it; what is carried forward is left out.
        """
        found = []
        for problem in TopologicalSorter(self.needs).static_order():
            here = [
                replace(failure, bug=explained[failure.test].bug) if failure.test in explained else failure
                for failure in self._simplest.get(problem, {}).values()
                if failure.test not in explained or not explained[failure.test].carried
            ]
            here.sort(key=lambda failure: (failure.case is None, size_of(failure.asked)))
            found += here[:_CLAIMS_EACH]
        return found

    def explain(self) -> dict[str, Explanation]:
        """{failed test: explanation}, for those that a known bug explains."""
        if not self._failing:
            return {}
        bugs = load_known_bugs()
        explained: dict[str, Explanation] = {}
        found: dict[str, set[str]] = {}
        for problem in TopologicalSorter(self.needs).static_order():
            upstream = {bug for needed in self._below(problem) for bug in found.get(needed, ())}
            candidates = [bug for bug in bugs if bug.problem == problem or bug.id in upstream]
            named = diagnose(problem, self._failing.get(problem, {}), self._ran.get(problem, ()), candidates)
            found[problem] = {bug.id for bug in named.values() if bug.problem == problem}
            for test, bug in named.items():
                explained[test] = Explanation(bug.id, carried=bug.problem != problem)
            here = dict.fromkeys(bug.id for bug in named.values())
            wrong = self._wrong.get(problem, [])
            fresh = [entry for entry in wrong if entry.fresh]
            explained |= dict(_explain_by_planting(problem, fresh, [[bug] for bug in here]))
            if upstream:
                below = sorted(upstream)
                rest = [entry for entry in wrong if entry.test not in explained]
                explained |= dict(_explain_by_planting(problem, rest, [below]))
                rest = [entry for entry in rest if entry.test not in explained]
                more = _explain_by_one_more(problem, rest, below, self._likely(problem, bugs))
                found[problem] |= {explanation.bug for explanation in more.values()}
                explained |= more
        return explained

    def _likely(self, problem: str, bugs: Sequence[KnownBug]) -> list[str]:
        """Ids of the problem's own bugs that no passing test speaks against."""
        ran, failing = self._ran.get(problem, set()), self._failing.get(problem, {})
        own = {bug.id: bug.evidence.get(problem, {}).keys() & ran for bug in bugs if bug.problem == problem}
        return [bug for bug, evidence in own.items() if evidence and contradicted_by_none(evidence, failing)]

    def _below(self, problem: str) -> set[str]:
        """The problems that a problem builds on, directly or not."""
        direct = set(self.needs.get(problem, ()))
        return direct.union(*(self._below(needed) for needed in direct))


def _order(case: Case | None, asked: Sequence[Question]) -> tuple[bool, int]:
    """Stored cases first, which reports show and students can run; then the smallest inputs."""
    return case is not None and case.fresh, size_of(asked)


def _explain_by_planting(
    problem: str, wrong: Sequence[Wrong], hypotheses: Sequence[Sequence[str]]
) -> Iterator[tuple[str, Explanation]]:
    """Plant the bugs of each hypothesis together, and see whether they give the submission's wrong outputs.

    Args:
        wrong: ids of tests, their cases and what the submission gave.
        hypotheses: ids of bugs that the stored cases revealed.
    """
    if not hypotheses or not wrong or not has_catalogue():
        return
    from ..misconceptions.catalogue import load_catalogue
    from ..submission.in_process import InProcess

    catalogue = {m.id: m for m in load_catalogue()}
    reference = InProcess(importlib.import_module("grader.reference.adapters"))
    for entry in wrong:
        for hypothesis in hypotheses:
            bugs = [catalogue[bug] for bug in hypothesis]
            with planted(bugs):
                reference.begin_transcript()
                for operation, arguments in entry.asked:
                    with contextlib.suppress(Exception):  # whatever a wrong variant raises is in the transcript
                        reference.perform(operation, arguments)
            if alike(fingerprint_transcript(reference.transcript or []), entry.answers):
                yield entry.test, Explanation(bugs[0].id, carried=bugs[0].problem != problem)
                break


def _explain_by_one_more(
    problem: str, wrong: Sequence[Wrong], below: Sequence[str], likely: Sequence[str]
) -> dict[str, Explanation]:
    """The one bug of the problem itself that, together with those found below, explains nearly all that is left.

    Args:
        likely: ids of the bugs of the problem to try.
    """
    if not wrong or not has_catalogue():
        return {}
    together = [[bug, *below] for bug in likely]
    likely_together = [bugs for bugs in together if any(_explain_by_planting(problem, wrong[:1], [bugs]))]
    explained = [dict(_explain_by_planting(problem, wrong, [bugs])) for bugs in likely_together]
    most = max(map(len, explained), default=0)
    best = [explanations for explanations in explained if len(explanations) == most]
    return best[0] if len(best) == 1 and most >= FORESEEN * len(wrong) else {}
