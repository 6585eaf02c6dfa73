"""Follow the failures of one examination back to known bugs.

It keeps the fingerprints of failing tests on stored cases, which `diagnosis` compares with the stored evidence,
and the outputs of failing cases. Where the misconceptions themselves are at hand (staff), the bugs that were found are
planted into the reference and asked what the submission was asked: a case is explained when the answers are the same.
So it is with fresh cases, for which there is no stored evidence, and with the work of several bugs at once.

A bug without a name may be a declared change of its piece's formula (`hypotheses`). If that gives what its problem's
tests saw, it is planted in the same way, and what fails above only because of it is carried forward. The submission is
asked nothing for that: code that is asked once more may notice that it is being judged.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from itertools import combinations
from typing import TYPE_CHECKING, Any

from ..cases.case import Case
from ..scoring.outcome import Clue, Explanation, Outcome, Result
from ..submission.interface import Question, Submission
from ..submission.transcript import kept_of
from .clues import Failure, find_clues, size_of
from .fingerprint import CALLS_KEPT, fingerprint_transcript
from .known_bugs import (
    FORESEEN,
    KnownBug,
    Transcript,
    claim_of,
    contradicted_by_none,
    diagnose,
    load_known_bugs,
)
from .planting import has_catalogue
from .time_limit import TimeLimit
from .trying import Trying, Wrong

if TYPE_CHECKING:
    from .hypotheses.found import Found
    from .hypotheses.in_reference import Supposed


_SECONDS = 60.0
"""So much processor time may planting bugs take in one examination; it takes a few, unless one of them loops."""
_SOON = 20_000
"""Numbers in a question that is soon answered."""
_CLAIMS_EACH = 12
"""Of so many claims of a problem clues are looked for: those that a report shows first are seldom the smallest."""

_MOST_FAILING = 0.5

_VALUES_KEPT = 1 << 20
"""Failures with more numbers and characters than this are not kept to be looked at again."""

_CALLS_LOOKED_AT = 256
"""A test that compares the answers to many calls at its end does not say which of them is wrong."""

_UNKNOWN = (Result.TODO, Result.SKIP, Result.ABSENT, Result.NOT_RUN)
"""Results that say nothing about what the code does."""
_NO_FAILURE = (Result.PASS, *_UNKNOWN)


@dataclass
class Attribution:
    """What one examination has seen so far.

    needs: {problem: the problems that it builds on}, for those examined and what lies between them.
    lines: whether clues may name files and lines of the submission.
    """

    needs: Mapping[str, tuple[str, ...]]
    lines: bool = True
    _failing: dict[str, dict[str, Transcript]] = field(default_factory=dict)
    _ran: dict[str, dict[str, str]] = field(default_factory=dict)
    """{problem: {test: the operation that it asks for}}"""
    _wrong: dict[str, list[Wrong]] = field(default_factory=dict)
    _of_properties: dict[str, list[Wrong]] = field(default_factory=dict)
    """The same for tests that have no case."""
    _simplest: dict[str, dict[str, Failure]] = field(default_factory=dict)
    """{problem: {claim: of its failures, the one with the smallest inputs}}"""
    _place: dict[str, int] = field(default_factory=dict)
    """{test: where it stands in the plan}: tests run in an order that is drawn, on which nothing may depend."""
    _found: list[Found] = field(default_factory=list)
    """What `explain` found out about changes of formulas."""

    @functools.cached_property
    def bugs(self) -> tuple[KnownBug, ...]:
        """Those that may be named. Where nothing fails, nobody waits for them to be read."""
        return load_known_bugs()

    def plan(self, tests: Iterable[str]) -> None:
        """Take note of tests that will run, by their ids, in the order in which a report has them."""
        for test in tests:
            self._place.setdefault(test, len(self._place))

    def follow(self, problem: str, outcome: Outcome, case: Case | None, submission: Submission) -> None:
        """Take note of a test that has finished, and of the calls that it made of the submission."""
        failed = outcome.result not in _NO_FAILURE
        transcript = submission.transcript or []
        if failed and transcript:
            asked = tuple(submission.asked[:CALLS_KEPT])
            wrong = Wrong(
                outcome.id,
                fresh=case is not None and case.fresh,
                asked=asked,
                answers=fingerprint_transcript(transcript),
                whole=len(submission.asked) <= CALLS_KEPT,
                values=tuple(transcript[:CALLS_KEPT]) if size_of(transcript) <= _VALUES_KEPT else None,
                right=_expected(case, asked),
            )
            kept = self._wrong if case is not None else self._of_properties
            kept.setdefault(problem, []).append(wrong)
        if failed:
            self._keep_simplest(problem, outcome, case, submission)
        if case is not None and case.fresh:
            return
        if outcome.result in _UNKNOWN:
            return
        self._ran.setdefault(problem, {})[outcome.id] = _operation(submission.asked)
        if failed:
            self._failing.setdefault(problem, {})[outcome.id] = fingerprint_transcript(transcript)

    def asked_for(self, problem: str) -> Mapping[str, str]:
        """{test: the operation that it asks for}, for those on stored cases that ran."""
        return self._ran.get(problem, {})

    def _keep_simplest(self, problem: str, outcome: Outcome, case: Case | None, submission: Submission) -> None:
        """Of each claim keep the failure with the smallest inputs, for `clues`."""
        calls = list(zip(submission.asked, submission.transcript or [], strict=False))[:_CALLS_LOOKED_AT]
        asked, answers = tuple(submission.asked[:CALLS_KEPT]), tuple((submission.transcript or [])[:CALLS_KEPT])
        later = tuple(calls[CALLS_KEPT:])
        claim = claim_of(outcome.id)
        kept = self._simplest.setdefault(problem, {})
        if size_of(asked) + size_of(answers) <= _VALUES_KEPT and (
            claim not in kept
            or self._order(outcome.id, case, asked) < self._order(kept[claim].test, kept[claim].case, kept[claim].asked)
        ):
            is_small = size_of(later) <= _VALUES_KEPT
            kept[claim] = Failure(problem, outcome, claim, case, asked, answers, later=later if is_small else ())

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
            here.sort(key=lambda failure: (failure.case is None, size_of(failure.asked), self._rank(failure.test)))
            found += here[:_CLAIMS_EACH]
        return found

    def find_clues(self, explained: Mapping[str, Explanation], submission: Submission) -> dict[str, Clue]:
        """{failed test: what else is found out about it}, by every source that there is; `explained` as above."""
        failures = self.failures(explained)
        if not failures:
            return {}
        from .sources import sources  # takes a tenth of a second, and few grades of right code need it

        return find_clues(failures, submission, tuple(sources(self.lines, self._found)))

    def explain(self) -> dict[str, Explanation]:
        """{failed test: explanation}, for those that a known bug explains, or one without a name below."""
        if not self._failing:
            return {}
        explained: dict[str, Explanation] = {}
        supposed: dict[str, Supposed] = {}
        found: dict[str, set[str]] = {}
        trying = Trying(self.bugs, TimeLimit(_SECONDS))
        for problem in TopologicalSorter(self.needs).static_order():
            if not any(problem in seen for seen in (self._failing, self._wrong, self._of_properties)):
                continue
            upstream = {bug for needed in self._below(problem) for bug in found.get(needed, ())}
            candidates = [bug for bug in self.bugs if bug.problem == problem or bug.id in upstream]
            failing = dict(sorted(self._failing.get(problem, {}).items(), key=lambda pair: self._rank(pair[0])))
            named = diagnose(problem, failing, self._ran.get(problem, {}), candidates)
            found[problem] = {bug.id for bug in named.values() if bug.problem == problem}
            for test, bug in named.items():
                explained[test] = Explanation(bug.id, carried=bug.problem != problem)
            here = dict.fromkeys(bug.id for bug in named.values())
            wrong = self._in_order(self._wrong.get(problem, ()))
            fresh = [entry for entry in wrong if entry.fresh]
            explained |= trying.explain(problem, fresh, [[bug] for bug in here])
            below = sorted(upstream)
            if below:
                rest = [entry for entry in wrong if entry.test not in explained]
                explained |= trying.explain(problem, rest, [below])
            if has_catalogue():  # before any search for more: what is carried forward needs none
                explained |= self._carry(problem, explained, supposed, below, trying)
            rest = [entry for entry in wrong if entry.test not in explained]
            if below:
                more = trying.explain_by_one_more(problem, rest, below, self._likely(problem))
            elif self._is_built_on_the_unknown(problem, found):
                more = {}  # bugs of the problem itself, in a program whose parts are right, do not give what it gives
            else:
                more = self._explain_by_several(problem, rest, list(here), trying)
            found[problem] |= {explanation.bug for explanation in more.values()}
            explained |= more
            if has_catalogue() and not found[problem]:
                supposed[problem] = self._suppose(problem, explained, supposed, trying)
        return explained

    def _carry(
        self,
        problem: str,
        explained: Mapping[str, Explanation],
        supposed: Mapping[str, Supposed],
        named: Sequence[str],
        trying: Trying,
    ) -> dict[str, Explanation]:
        """What fails only because of bugs without a name in what a problem builds on.

        Args:
            supposed: {problem: what its bug was found to be}; named: ids of the known bugs below.
        """
        below = {needed: supposed[needed] for needed in self._below(problem) if supposed.get(needed)}
        every = self._in_order([*self._wrong.get(problem, ()), *self._of_properties.get(problem, ())])
        rest = [entry for entry in every if entry.test not in explained]
        if not below or not rest:
            return {}
        from .hypotheses.in_reference import parts_within, reference_with, shows_all_mistakes

        together = {operation: changes for one in below.values() for operation, changes in one.items()}
        operations = {operation for entry in rest for operation in _formulas_of(entry.asked)}
        affected = [operation for operation in operations if parts_within(operation, together)]
        if not affected or not all(shows_all_mistakes(operation, together) for operation in affected):
            return {}
        first = next(needed for needed in TopologicalSorter(self.needs).static_order() if needed in below)
        alone = reference_with(together, first)
        return {
            entry.test: Explanation("", carried=True, below=first)
            for entry in trying.shown_by([alone], rest, beside=named)
        }

    def _suppose(
        self,
        problem: str,
        explained: Mapping[str, Explanation],
        supposed: Mapping[str, Supposed],
        trying: Trying,
    ) -> Supposed:
        """What the bug of a problem is, if it has no name: changes of formulas that give nearly all that fails."""
        wrong = [entry for entry in self._in_order(self._wrong.get(problem, ())) if entry.test not in explained]
        if not wrong or not any(problem in self._below(other) for other in self._failing):
            return {}
        from .hypotheses.in_reference import reference_with
        from .hypotheses.suppose import suppose

        below = {op: changes for needed in self._below(problem) for op, changes in supposed.get(needed, {}).items()}
        simplest = sorted(self._simplest.get(problem, {}).values(), key=lambda failure: self._rank(failure.test))
        failures = [one for one in simplest if one.test not in explained]
        self._found.append(suppose(failures, below))
        found = self._found[-1].changes
        soon = [entry for entry in wrong if size_of(entry.asked) <= _SOON] or wrong
        if found and trying.gives_nearly_all([reference_with({**below, **found}, problem)], soon):
            return found
        return {}

    def _explain_by_several(
        self, problem: str, wrong: Sequence[Wrong], found: Sequence[str], trying: Trying
    ) -> dict[str, Explanation]:
        """Bugs of the problem that give together what none gives alone: one beside those found, or two.

        One more must give nearly all failing tests of its own evidence that are left. Two must foresee, and give,
        nearly all that fails.
        """
        if not has_catalogue() or not wrong:
            return {}
        failing = self._failing.get(problem, {})
        foreseen = {bug: self._foreseen(problem, bug) for bug in [*self._likely(problem), *found]}
        stored = [entry for entry in wrong if not entry.fresh]
        hypotheses: dict[tuple[str, ...], list[Wrong]] = {}
        if found:
            for bug in foreseen:
                if bug not in found:
                    hypotheses[bug, *found] = [entry for entry in stored if entry.test in foreseen[bug]]
        else:
            for one, other in combinations(foreseen, 2):
                if sum(t in foreseen[one] or t in foreseen[other] for t in failing) >= FORESEEN * len(failing):
                    hypotheses[one, other] = stored
        together = trying.bugs_together(hypotheses)
        explained: dict[str, Explanation] = {}
        for turn, test in enumerate(trying.explain(problem, wrong, [together] if together else [])):
            # Of several bugs the one that fails this test alone, or each in turn.
            possible = [bug for bug in together if test in foreseen[bug]] or together
            explained[test] = Explanation(possible[turn % len(possible)], carried=False)
        return explained

    def _is_built_on_the_unknown(self, problem: str, found: Mapping[str, Collection[str]]) -> bool:
        """Whether most of what some problem below asks for is wrong, and nobody knows why."""
        return any(
            len(self._failing.get(needed, ())) > _MOST_FAILING * len(self._ran.get(needed, ()))
            for needed in self._below(problem)
            if not found.get(needed)
        )

    def _foreseen(self, problem: str, bug: str) -> set[str]:
        """The tests of a problem that are in the evidence of a bug."""
        forms = (form for known in self.bugs if known.id == bug for form in known.every_form)
        return {test for form in forms for test in form.evidence.get(problem, {})}

    def _likely(self, problem: str) -> list[str]:
        """Ids of the problem's own bugs that no passing test speaks against."""
        ran, failing = self._ran.get(problem, {}), self._failing.get(problem, {})
        own = [(bug.id, form) for bug in self.bugs if bug.problem == problem for form in bug.every_form]
        forms = [(bug, form.evidence.get(problem, {}).keys() & ran.keys()) for bug, form in own]
        return list(
            dict.fromkeys(bug for bug, evidence in forms if evidence and contradicted_by_none(evidence, failing))
        )

    def _rank(self, test: str) -> tuple[int, str]:
        return self._place.get(test, len(self._place)), test

    def _in_order(self, wrong: Iterable[Wrong]) -> list[Wrong]:
        return sorted(wrong, key=lambda entry: self._rank(entry.test))

    def _order(self, test: str, case: Case | None, asked: Sequence[Question]) -> tuple[bool, int, tuple[int, str]]:
        """Stored cases first, which reports show and students can run; then the smallest inputs."""
        return case is not None and case.fresh, size_of(asked), self._rank(test)

    def _below(self, problem: str) -> set[str]:
        """The problems that a problem builds on, directly or not."""
        direct = set(self.needs.get(problem, ()))
        return direct.union(*(self._below(needed) for needed in direct))


def _expected(case: Case | None, asked: Sequence[Question]) -> Callable[[], Sequence[Any]] | None:
    """What gives the right answers, where a test asks what its case does and nothing else."""
    if case is None or len(asked) != 1:
        return None
    ((operation, arguments),) = asked
    own = arguments.keys() == case.inputs.keys() and all(arguments[name] is case.inputs[name] for name in arguments)
    return (lambda: [kept_of(operation, case.expected)]) if operation == case.operation and own else None


def _operation(asked: Sequence[Question]) -> str:
    """What a test asks for: the first thing, once whatever has to be opened first is open."""
    operations = [operation for operation, _ in asked]
    return next((one for one in operations if not one.startswith("open_")), operations[-1] if operations else "")


def _formulas_of(asked: Sequence[Question]) -> set[str]:
    """The operations that have a formula, among those that a test asks for."""
    from .hypotheses.formulas import FORMULAS

    return {arguments.get("adapter", operation) for operation, arguments in asked} & FORMULAS.of.keys()
