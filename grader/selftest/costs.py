"""What each known bug costs: the share of its problem's points that a submission with this bug, and no other, loses.

Follows from the stored evidence, which says what tests a bug fails, and from the rubric; nothing is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grader.diagnosis.known_bugs import KnownBug, load_known_bugs
from grader.examination.session import planned_tests
from grader.misconceptions.catalogue import load_catalogue
from grader.scoring.outcome import Outcome, PlannedTest, Result, Tier
from grader.scoring.points import score_problem
from grader.scoring.rubric import Problem, Rubric


@dataclass(frozen=True)
class Cost:
    """share: of the problem's points that the bug costs, from 0 to 1; throughout: as the catalogue says of it.

    most: what it may cost, as the rubric says; advised: whether nothing but advice notices it, which is free.
    """

    problem: str
    bug: str
    share: float
    throughout: bool
    most: float
    advised: bool

    @property
    def complaint(self) -> str:
        """What is out of proportion, or ""."""
        if self.share <= 0 and not self.advised:
            return f"free: {self.bug} costs no point of {self.problem}"
        if self.share > self.most and not self.throughout:
            return f"too dear: {self.bug} costs {self.share:.0%} of {self.problem}, and may cost {self.most:.0%}"
        return ""


def costs(rubric: Rubric, problems: Sequence[str], bugs: Sequence[KnownBug] | None = None) -> list[Cost]:
    """The cost of each bug of these problems, by the evidence in `bugs` (None: what is stored), dearest first."""
    tests: dict[str, list[PlannedTest]] = {problem: [] for problem in problems}
    for test in planned_tests(problems):
        tests[test.problem].append(test)
    throughout = {bug.id: bug.throughout for problem in problems for bug in load_catalogue(problem)}
    found = [
        Cost(
            bug.problem,
            bug.id,
            cost(rubric[bug.problem], tests[bug.problem], bug.evidence),
            throughout[bug.id],
            rubric[bug.problem].one_bug,
            _is_advised(tests[bug.problem], bug),
        )
        for bug in (load_known_bugs() if bugs is None else bugs)
        if bug.problem in tests
    ]
    return sorted(found, key=lambda cost: -cost.share)


def _is_advised(tests: Sequence[PlannedTest], bug: KnownBug) -> bool:
    """Whether all tests that a bug fails are advice: a reading that an honest student may dispute."""
    failing = bug.evidence.get(bug.problem, {})
    return bool(failing) and all(test.tier is Tier.ADVICE for test in tests if test.id in failing)


def cost(problem: Problem, tests: Sequence[PlannedTest], evidence: Mapping[str, Mapping]) -> float:
    """The share of a problem's points that are lost where just the tests of this evidence fail."""
    failing = evidence.get(problem.id, {})
    outcomes = [(test, Outcome(test.id, Result.FAIL if test.id in failing else Result.PASS)) for test in tests]
    return 1 - score_problem(problem, outcomes).earned / problem.points
