"""The report of one grade, and its JSON form, of which `schema.json` is the contract."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..diagnosis.known_bugs import KnownBug, load_known_bugs
from ..kit.paths import KIT
from ..rules.from_scratch import Effect, Finding
from ..rules.integrity import Suspicion
from ..scoring.outcome import Clue, Explanation, Outcome, PlannedTest, Result, Tier, Written
from ..scoring.points import Score, Status, score_problem, score_unbegun, withheld
from ..scoring.races import NO_RACES, RaceResult, Speed, score_races
from ..scoring.rubric import Problem, ProblemKind, Rubric
from .schema import schema_version

BY_HAND = "graded by hand"
"""The remark on points that a person gave."""

_PACKAGES_SHOWN = 6
_LACKING = re.compile(
    r"^needs (?:the package '(?P<absent>[^']+)', which is not installed here"
    r"|(?P<other_version>'\w+' of .+|the package '[^']+', which cannot be imported here.*))"
)


@dataclass(frozen=True)
class DifferenceMap:
    """Where a tensor differs: the matrix at an index of its first dimensions, in cells that are digits from 0 to 3.

    part: which output it is; rows, columns: of the matrix; `report/schema.json` says what the digits mean.
    """

    part: str
    at: tuple[int, ...]
    rows: int
    columns: int
    cells: tuple[str, ...]

    @property
    def tells(self) -> bool:
        """Whether there is something to see: not all cells are alike."""
        return len(set("".join(self.cells))) > 1


@dataclass(frozen=True)
class TestReport:
    """One test and what came of it.

    bug: the known bug that explains a failure; carried: whether it is carried forward from another problem;
    clue: what else was found out about a failure;
    charged: whether the test counts, which one for an adapter of the kit's own does not in a public solution, whatever
    came of it.
    """

    __test__ = False  # pytest should not try to collect this class

    plan: PlannedTest
    outcome: Outcome
    bug: KnownBug | None = None
    carried: bool = False
    charged: bool = True
    clue: Clue | None = None

    @property
    def name(self) -> str:
        """`test_matches_reference[batch]`."""
        return self.plan.id.partition("::")[2]

    @property
    def traceback(self) -> list[str]:
        """The lines of the outcome's detail, less the exception's own words, which are its message."""
        lines, message = self.outcome.detail.splitlines(), self.outcome.message.partition("\n")[0]
        return lines[: lines.index(message)] if message in lines else lines

    @property
    def cause(self) -> tuple[str, ...]:
        """What tests that failed for one reason have in common: a known bug, what was found out, or where it arose."""
        if self.bug:
            return ("bug", self.bug.id)
        if self.clue and self.clue.cause:
            return ("clue", *self.clue.cause)
        if self.clue and self.clue.file:
            return ("place", self.clue.file, str(self.clue.line))
        if self.clue and self.clue.says:
            return ("clue", *self.clue.says)
        return self.raised or (self.outcome.result, self.outcome.message or self.plan.claim)

    @property
    def raised(self) -> tuple[str, ...]:
        """The exception that ended it, by its kind and by the line that raised it; () if none did."""
        if self.outcome.result is not Result.ERROR or not self.outcome.detail:
            return ()
        places = [line for line in self.outcome.detail.splitlines() if line.startswith("  File ")]
        kind = self.outcome.message.partition(":")[0]
        return ("raised", kind, places[-1] if places else self.outcome.message)

    @property
    def why(self) -> str:
        """A sentence on why it failed: a known bug's, one that was found out, or the first line of its message."""
        if self.bug:
            return self.bug.diagnosis
        return self.clue.cause[0] if self.clue and self.clue.cause else self.outcome.message.partition("\n")[0]

    @property
    def map(self) -> DifferenceMap | None:
        """Where its output differs, if that is a tensor's, and the picture of it tells something."""
        where = self.outcome.difference.where if self.outcome.difference else {}
        if not (found := where.get("map")):
            return None
        cells = tuple(found["cells"])
        drawn = DifferenceMap(where["part"], tuple(found["at"]), found["rows"], found["columns"], cells)
        return drawn if drawn.tells else None

    @property
    def missing_package(self) -> str | None:
        """The package, or what of one, without which the test could not be assessed, if that is why."""
        found = _LACKING.search(self.outcome.message) if self.outcome.result is Result.ABSENT else None
        return found["absent"] or found["other_version"] if found else None

    def as_json(self) -> dict[str, Any]:
        difference = self.outcome.difference
        return {
            "id": self.plan.id,
            "title": self.plan.title,
            "outcome": str(self.outcome.result),
            "message": self.outcome.message,
            "expected": difference and difference.expected,
            "got": difference and difference.got,
            "where": difference and difference.where,
            "misconception": self.bug and {"id": self.bug.id, "diagnosis": self.bug.diagnosis, "hint": self.bug.hint},
            "clue": self.clue and self.clue.as_plain(),
            "carried_forward": self.carried,
            "charged": self.charged,
            "seconds": round(self.outcome.seconds, 4),
            "kind": str(self.plan.tier),
            "judges_values": self.plan.judges_values,
            "asked": self.plan.asked,
            "detail": self.outcome.detail,
        }


@dataclass(frozen=True)
class Trouble:
    """What a reader should look at: a known bug with the tests that show it, or one test that no known bug explains."""

    tests: tuple[TestReport, ...]
    bug: KnownBug | None = None

    @property
    def clue(self) -> Clue | None:
        """What was found out about the first of its tests of which anything was."""
        return next((test.clue for test in self.tests if test.clue), None)

    @property
    def unknown(self) -> int:
        """How little is known of it, from 0: a bug's name, what is wrong, where it is, what to look at, nothing."""
        clue = self.clue
        known = (self.bug, clue and clue.cause, clue and clue.says and clue.file, clue)
        return next((i for i, one in enumerate(known) if one), len(known))

    @property
    def map(self) -> DifferenceMap | None:
        """Where the output of its first test differs, if that is a tensor's."""
        return self.tests[0].map

    def as_json(self) -> dict[str, Any]:
        return {"misconception": self.bug and self.bug.id, "tests": [test.plan.id for test in self.tests]}


@dataclass(frozen=True)
class ProblemReport:
    """One problem of the rubric: its score and its tests.

    blocked_by: problems it builds on that are known to be why this one does not pass: their bugs show here, or they
        are not written.
    policy: breaches of the from-scratch rule.
    note: why the problem, or a part of it, is not assessed, or "".
    for_staff: free text of the submission that a person reads.
    races: how fast it is, where that is what the problem is about.
    begun: False for an optional problem of which nothing is written: its tests did not run.
    elsewhere: where its code seems to be, though its adapters say that nothing is written; or "".
    manual: what a person gave, as `manual_scores.with_scores` writes it; the score is then that one.
    """

    problem: Problem
    score: Score
    tests: tuple[TestReport, ...] = ()
    blocked_by: tuple[str, ...] = ()
    policy: tuple[Finding, ...] = ()
    note: str = ""
    for_staff: tuple[Written, ...] = ()
    races: tuple[RaceResult, ...] = ()
    begun: bool = True
    elsewhere: str = ""
    manual: Mapping[str, Any] | None = None

    @property
    def is_graded_by_hand(self) -> bool:
        """Whether the points are those that a person gave."""
        return self.manual is not None and self.manual["score"] is not None

    @property
    def failing(self) -> list[TestReport]:
        """What went wrong here: the first failing case of each claim, core claims first, values before properties.

        What was not run comes last: nobody knows whether it would fail.
        """
        failing = [test for test in self._first_failures if test.plan.tier is not Tier.ADVICE]
        return sorted(
            failing,
            key=lambda test: (
                test.outcome.result is Result.NOT_RUN,
                test.plan.tier is Tier.EDGE,
                not test.plan.judges_values,
            ),
        )

    @property
    def advice(self) -> list[TestReport]:
        """What might be better and costs nothing: the first failing case of each claim that is advice.

        Where every test raised, there is nothing yet to advise on. A bug that costs points is named with these, and
        what raises there raises here, too: nobody knows what comes after it.
        """
        if self.score.status is Status.ERROR:
            return []
        unsaid = (Result.TODO, Result.SKIP, Result.NOT_RUN)
        named = {test.bug.id for test in self.failing if test.bug}
        raised = {test.raised for test in self.failing if test.raised}
        return [
            test
            for test in self._first_failures
            if test.plan.tier is Tier.ADVICE and test.outcome.result not in unsaid and not test.missing_package
            if (test.bug is None or test.bug.id not in named) and test.raised not in raised
        ]

    @property
    def _first_failures(self) -> list[TestReport]:
        """One failing case of each claim: one with a clue if there is any."""
        first: dict[str, TestReport] = {}
        for test in sorted(self.tests, key=lambda test: (test.outcome.result is Result.NOT_RUN, test.clue is None)):
            if test.charged and not test.carried and test.outcome.result not in (Result.PASS, Result.ABSENT):
                first.setdefault(test.plan.claim, test)
        return list(first.values())

    @property
    def troubles(self) -> list[Trouble]:
        """What to look at, most telling first: known bugs, each once, then what none explains.

        What failed in the same way, by one bug or with the same words at the same place, is one trouble. Core claims
        come before edge ones, and of these what more is known of comes first. Tests that only lack a package are left
        to `Report.missing_packages`.
        """
        troubles: dict[tuple[str, ...], list[TestReport]] = {}
        for test in self.failing:
            if not test.missing_package:
                troubles.setdefault(test.cause, []).append(test)
        found = [Trouble(tuple(tests), tests[0].bug) for tests in troubles.values()]
        return sorted(found, key=lambda one: (one.tests[0].plan.tier is Tier.EDGE, one.unknown))

    @property
    def lost(self) -> float:
        """Points that were assessed here and not earned."""
        return self.problem.points - self.score.unassessed - self.score.earned

    @property
    def wants_a_look(self) -> bool:
        """Whether something went wrong here, or a person is to judge what did."""
        wrong = self.score.status in (Status.FAIL, Status.PARTIAL, Status.ERROR)
        return wrong or (self.problem.kind is ProblemKind.MANUAL and bool(self.troubles))

    @property
    def points(self) -> str:
        """`1.5 / 2`; where a part is not assessed, what is possible and the whole, too: `1 / 1 of 2`."""
        if self.score.unassessed:
            possible = self.problem.points - self.score.unassessed
            return f"{self.score.earned:g} / {possible:g} of {self.problem.points:g}"
        return f"{self.score.earned:g} / {self.problem.points:g}"

    @property
    def passed(self) -> str:
        """How many tests passed of those that count: `17/18`."""
        if self.races:
            return f"{len(self.races)} race{'s' * (len(self.races) > 1)}"
        charged = [
            test
            for test in self.tests
            if test.charged and test.plan.tier is not Tier.ADVICE and test.outcome.result is not Result.ABSENT
        ]
        passed = sum(test.outcome.result is Result.PASS for test in charged)
        return f"{passed}/{len(charged)}" if self.tests else ""

    @property
    def is_withheld(self) -> bool:
        """Whether the from-scratch rule took the points."""
        return self.score.status is Status.FAIL and _costs_points(self.policy)

    @property
    def remark(self) -> str:
        """Why the points are what they are, in a few words, or ""."""
        if self.is_graded_by_hand:
            return BY_HAND
        if self.is_withheld:
            return "points withheld: from-scratch rule"
        if any(test.carried for test in self.tests):
            return f"carried forward from {', '.join(self.blocked_by)}"
        if self.blocked_by:
            return f"first fix {', '.join(self.blocked_by)}"
        if self.score.status is Status.NOT_ASSESSED:
            return self.note
        if self.score.status is Status.TODO and self.elsewhere:
            return f"{self.elsewhere}: does the adapter call it?"
        return f"in part: {self.note}" if self.note else ""

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.problem.id,
            "title": self.problem.title,
            "section": self.problem.section,
            "kind": str(self.problem.kind),
            "points": self.problem.points,
            "earned": self.score.earned,
            "unassessed": self.score.unassessed,
            "status": str(self.score.status),
            "blocked_by": list(self.blocked_by),
            "policy": [finding.as_json() for finding in self.policy],
            "note": self.note,
            "remark": self.remark,
            "begun": self.begun,
            "troubles": [trouble.as_json() for trouble in self.troubles],
            "for_staff": [written.as_plain() for written in self.for_staff],
            "tests": [test.as_json() for test in self.tests],
            **({"manual": dict(self.manual)} if self.manual is not None else {}),
        }


@dataclass(frozen=True)
class Total:
    """Points of some problems together: earned, of those that were assessed, of all."""

    earned: float
    assessed: float
    total: float

    @classmethod
    def of(cls, problems: Sequence[ProblemReport]) -> Total:
        return cls(
            earned=round(sum(p.score.earned for p in problems), 2),
            assessed=round(sum(p.problem.points - p.score.unassessed for p in problems), 2),
            total=sum(p.problem.points for p in problems),
        )

    def as_json(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class Report:
    """Everything that one grade found.

    submission: the path as it was named; folder: the folder that it names, or "" for an archive, which is gone;
    seed: of the fresh cases, None when only stored ones ran;
    isolation: {"level": ..., "missing": [...]}; suspicions: what it did that honest code has no reason for;
    load_fault: why nothing of the submission could run, or None;
    base_sections: those that make up the assignment's total; speed: what came of races;
    own_adapters: the adapters beyond the public assignment's that the submission defines;
    looked_at: problems that nobody asked for, but that one which failed builds on: they are in no total.
    """

    submission: str
    sections: dict[str, str]
    problems: tuple[ProblemReport, ...]
    seed: int | None
    isolation: dict[str, Any]
    environment: dict[str, Any]
    suspicions: tuple[Suspicion, ...] = ()
    load_fault: str | None = None
    base_sections: tuple[str, ...] = ()
    speed: Speed = NO_RACES
    own_adapters: tuple[str, ...] = ()
    looked_at: tuple[ProblemReport, ...] = ()
    folder: str = ""

    @property
    def base(self) -> tuple[ProblemReport, ...]:
        """The problems that make up the total of the assignment, or all where none of those was graded."""
        return tuple(p for p in self.problems if p.problem.section in self.base_sections) or self.problems

    @property
    def overall(self) -> Total:
        """The total of the assignment."""
        return Total.of(self.base)

    @property
    def by_section(self) -> dict[str, Total]:
        """{section: the total of its problems}, in the order of the report."""
        sections = dict.fromkeys(p.problem.section for p in self.problems)
        return {section: Total.of([p for p in self.problems if p.problem.section == section]) for section in sections}

    @property
    def extensions(self) -> dict[str, Total]:
        """{section outside the assignment's total: a total of its own}."""
        outside = {p.problem.section for p in self.problems if p not in self.base}
        return {section: total for section, total in self.by_section.items() if section in outside}

    @property
    def unbegun(self) -> dict[str, list[ProblemReport]]:
        """{section: its problems} of the sections of which nothing is written: a reader needs one line of them."""
        begun = {p.problem.section for p in self.problems if p.begun}
        unbegun: dict[str, list[ProblemReport]] = {}
        for problem in self.problems:
            if problem.problem.section not in begun:
                unbegun.setdefault(problem.problem.section, []).append(problem)
        return unbegun

    @property
    def listed(self) -> list[ProblemReport]:
        """The problems that a reader sees one by one."""
        return [problem for problem in self.problems if problem.problem.section not in self.unbegun]

    @property
    def found_below(self) -> list[ProblemReport]:
        """Those that were looked at and are there: what is not provided is the cause of nothing."""
        return [problem for problem in self.looked_at if problem.score.status is not Status.NOT_PROVIDED]

    @property
    def most_urgent_first(self) -> list[ProblemReport]:
        """The problems that want a look; first what costs most, by itself and in what it is known to block."""
        shown = [problem for problem in (*self.problems, *self.looked_at) if problem.wants_a_look]

        def cost(problem: ProblemReport) -> float:
            return problem.lost + sum(p.lost for p in self.problems if problem.problem.id in p.blocked_by)

        return sorted(shown, key=cost, reverse=True)

    def how_to_see(self, problem: ProblemReport) -> str:
        """A command that shows a problem's first failure, to be typed where the grader was started."""
        test = problem.troubles[0].tests[0].plan
        if not self.folder:
            return f"python -m grader {shlex.quote(self.submission)} --problem {test.problem}"
        where = "" if self.folder == str(KIT) else f" --submission {shlex.quote(self.submission)}"
        return f"uv run pytest tests/{test.claim}{where}"

    @property
    def earned(self) -> float:
        return self.overall.earned

    @property
    def assessed(self) -> float:
        """Points that could be earned here: those of all problems, less what was not assessed."""
        return self.overall.assessed

    @property
    def total(self) -> float:
        """Points of all problems in this report that make up the assignment's total, assessed or not."""
        return self.overall.total

    @property
    def missing_packages(self) -> dict[str, list[str]]:
        """{package, or what of one, that is missing here: the problems that need it}."""
        needed_by: dict[str, dict[str, None]] = {}
        for problem in self.problems:
            for test in problem.tests:
                if package := test.missing_package:
                    needed_by.setdefault(package, {})[problem.problem.id] = None
        return {package: list(problems) for package, problems in needed_by.items()}

    @property
    def surroundings(self) -> list[str]:
        """Sentences on what the submission ran with, where that is not only what the kit brings."""
        said = [
            f"{name} is not installed here: a stand-in that does nothing took its place."
            for name in self.environment.get("stand_ins", ())
        ]
        if own := self.environment.get("own"):
            shown, more = own["installed"][:_PACKAGES_SHOWN], len(own["installed"]) - _PACKAGES_SHOWN
            packages = ", ".join([*shown, *([f"{more} more"] if more > 0 else [])]) or "no further packages"
            how = "as an earlier grade made it" if own["reused"] else f"made in {own['seconds']:.0f} s"
            said.append(f"The code ran in an environment of its own: Python {own['python']} with {packages}, {how}.")
            said += [f"Not to be had for it: {name} ({why})." for name, why in own["missing"].items()]
        return said

    def as_json(self) -> dict[str, Any]:
        return {
            "schema_version": schema_version(),
            "submission": self.submission,
            "seed": self.seed,
            "isolation": self.isolation,
            "score": self.overall.as_json(),
            "extensions": {section: total.as_json() for section, total in self.extensions.items()},
            "problems": [problem.as_json() for problem in self.problems],
            "integrity": {
                "verdict": "suspicious" if self.suspicions else "clean",
                "findings": [suspicion.as_json() for suspicion in self.suspicions],
            },
            "performance": self.speed.as_json(),
            "environment": self.environment,
            "load_fault": self.load_fault,
            "own_adapters": list(self.own_adapters),
            "looked_at": [problem.as_json() for problem in self.looked_at],
        }


def build_report(
    submission: str,
    rubric: Rubric,
    problems: Sequence[Problem],
    planned: Sequence[PlannedTest],
    outcomes: Sequence[Outcome],
    explanations: Mapping[str, Explanation],
    *,
    policy: Mapping[str, tuple[Finding, ...]],
    seed: int | None,
    isolation: dict[str, Any],
    environment: dict[str, Any],
    suspicions: tuple[Suspicion, ...] = (),
    load_fault: str | None = None,
    for_staff: Mapping[str, tuple[Written, ...]] | None = None,
    left_out: Mapping[str, str] | None = None,
    unbegun: Mapping[str, Result] | None = None,
    own_adapters: Sequence[str] = (),
    clues: Mapping[str, Clue] | None = None,
    looked_at: Sequence[Problem] = (),
    speed: Speed = NO_RACES,
    folder: str = "",
    elsewhere: Mapping[str, str] | None = None,
) -> Report:
    """Score the outcomes and put everything together.

    Args:
        policy: the findings of each problem; for_staff: its free text; left_out: why its tests cannot run here;
            unbegun: optional ones whose tests did not run, since nothing of them is written;
            own_adapters: what the submission defines beyond the public assignment's. One that has none of them is not
            charged for tests that need them; looked_at: problems below these that were examined, too;
            elsewhere: where the code of what is not connected seems to be.
    """
    results = {outcome.id: outcome for outcome in outcomes}
    pairs = [(test, results[test.id]) for test in planned]
    knows_kit = bool(own_adapters) or load_fault is not None  # of what could not be imported, nothing is known
    examined = (*problems, *looked_at)
    by_problem: dict[str, list[tuple[PlannedTest, Outcome]]] = {problem.id: [] for problem in examined}
    for test, outcome in pairs:
        by_problem[test.problem].append((test, outcome))
    carried = {test for test, explanation in explanations.items() if explanation.carried}
    scores = {
        problem.id: score_problem(problem, by_problem[problem.id], carried=carried, knows_kit=knows_kit)
        for problem in examined
    }
    unbegun = unbegun or {}
    scores |= {p.id: score_unbegun(p, unbegun[p.id], knows_kit=knows_kit) for p in examined if p.id in unbegun}
    scores |= {
        p.id: score_races(p, speed.of(p.id), knows_kit=knows_kit) for p in problems if p.kind is ProblemKind.PERFORMANCE
    }
    scores |= {id: withheld(scores[id]) for id, findings in policy.items() if _costs_points(findings)}
    scores |= {
        p.id: withheld(scores[p.id]) for p in problems if p.kind is ProblemKind.PERFORMANCE and _wrong_below(p, scores)
    }
    bugs = {bug.id: bug for bug in load_known_bugs()} if explanations else {}

    def test_report(test: PlannedTest, outcome: Outcome) -> TestReport:
        explanation = explanations.get(test.id)
        bug = bugs.get(explanation.bug) if explanation else None
        charged = knows_kit or not test.own_adapter
        return TestReport(test, outcome, bug, test.id in carried, charged, (clues or {}).get(test.id))

    def upstream(problem: Problem) -> list[str]:
        """The problems from which bugs are carried forward into this one."""
        found = [explanations[test.id] for test, _ in by_problem[problem.id] if test.id in explanations]
        named = [bugs[one.bug].problem for one in found if one.carried and one.bug in bugs]
        return [*named, *(one.below for one in found if one.below)]

    def problem_report(problem: Problem) -> ProblemReport:
        return ProblemReport(
            problem=problem,
            score=scores[problem.id],
            tests=tuple(test_report(test, outcome) for test, outcome in by_problem[problem.id]),
            blocked_by=_blocked_by(problem, by_problem[problem.id], scores, upstream(problem), rubric),
            policy=policy.get(problem.id, ()),
            note=(left_out or {}).get(problem.id, "")
            or speed.notes.get(problem.id, "")
            or ("" if problem.id in unbegun else _why_not_assessed(problem, by_problem[problem.id])),
            for_staff=(for_staff or {}).get(problem.id, ()),
            races=speed.of(problem.id),
            begun=problem.id not in unbegun,
            elsewhere=(elsewhere or {}).get(problem.id, ""),
        )

    return Report(
        submission=submission,
        sections=rubric.sections,
        problems=tuple(problem_report(problem) for problem in problems),
        seed=seed,
        isolation=isolation,
        environment=environment,
        suspicions=suspicions,
        load_fault=load_fault,
        base_sections=rubric.base_sections,
        speed=speed,
        own_adapters=tuple(own_adapters),
        looked_at=tuple(problem_report(problem) for problem in looked_at),
        folder=folder,
    )


def _costs_points(findings: Sequence[Finding]) -> bool:
    return any(finding.effect is Effect.ZERO for finding in findings)


def _wrong_below(problem: Problem, scores: Mapping[str, Score]) -> tuple[str, ...]:
    """The problems that a race builds on and that earned nothing: first correct, then fast."""
    fine = (Status.PASS, Status.PARTIAL, Status.NOT_ASSESSED)
    return tuple(needed for needed in problem.needs if needed in scores and scores[needed].status not in fine)


def _blocked_by(
    problem: Problem,
    tests: Sequence[tuple[PlannedTest, Outcome]],
    scores: dict[str, Score],
    upstream: Sequence[str],
    rubric: Rubric,
) -> tuple[str, ...]:
    """The problems to fix before this one: those whose bugs show in it, and those whose stubs it ran into."""
    if problem.kind is ProblemKind.PERFORMANCE:
        return _wrong_below(problem, scores)
    messages = {outcome.message for _, outcome in tests if outcome.result is Result.TODO}
    others = (other.id for other in rubric.problems if other != problem)
    unwritten = [other for other in others if any(_is_stub_of(other, message) for message in messages)]
    return tuple(dict.fromkeys([*upstream, *unwritten]))


def _is_stub_of(problem: str, message: str) -> bool:
    """Whether an unwritten stub of a problem has spoken, which says its problem's id first."""
    return message.removeprefix("NotImplementedError: ").startswith(f"{problem}:")


def _why_not_assessed(problem: Problem, tests: Sequence[tuple[PlannedTest, Outcome]]) -> str:
    """What is missing for the tests that had nothing to look at, or why there is no test; else nothing."""
    if problem.kind is ProblemKind.MANUAL:
        return "a person grades it"
    if tests:
        return "; ".join(dict.fromkeys(o.message for _, o in tests if o.result is Result.ABSENT))
    return "" if problem.kind is ProblemKind.PERFORMANCE else "no tests yet"  # of races, `Speed.notes` says it
