"""What changed between two grades of the same submissions: two versions of the rubric or the kit, or two runs.

Student by student, and test by test. Pure, but for reading reports, one pair at a time.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..escape import in_one_line
from ..report.formats.spreadsheet import cell
from ..report.manual_scores import read_report
from .batch import REPORTS
from .grade_state import REPORT, claim_of, read_grade

_ABSENT = "-"
_SHOWN = 8
"""So many tests of one problem of one student are named; the table has all."""


@dataclass(frozen=True)
class ProblemChange:
    """One problem whose points or tests are not what they were; tests: (id, before, after), "-" where there is none."""

    problem: str
    earned: tuple[float | None, float | None]
    worth: tuple[float | None, float | None]
    tests: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class StudentChange:
    """One student's grade, before and after. Totals are (earned, assessed), None where there is no report.

    states: what is known where there is no report.
    """

    id: str
    totals: tuple[tuple[float, float] | None, tuple[float, float] | None]
    problems: tuple[ProblemChange, ...] = ()
    states: tuple[str, str] = ("", "")

    @property
    def has_other_points(self) -> bool:
        return self.totals[0] != self.totals[1] or any(
            change.earned[0] != change.earned[1] or change.worth[0] != change.worth[1] for change in self.problems
        )


def compare_batches(old: Path, new: Path) -> Iterator[StudentChange]:
    """What changed for each student, also for those for whom nothing did, by id.

    Raises:
        Refused: one of the folders is not what a batch wrote, or a report in it is damaged.
    """
    before, after = _ids(old), _ids(new)
    for id in sorted({*before, *after}):
        yield _compare(id, old / REPORTS / id, new / REPORTS / id)


def _ids(out: Path) -> list[str]:
    folder = out / REPORTS
    if not folder.is_dir():
        raise Refused(
            f"{out} is not what a batch wrote: it has no folder {REPORTS}. `python -m grader batch` makes one."
        )
    return [path.name for path in folder.iterdir() if path.is_dir()]


def _compare(id: str, old: Path, new: Path) -> StudentChange:
    reports = [read_report(path / REPORT) if (path / REPORT).is_file() else None for path in (old, new)]
    states = [str(grade.state) if (grade := read_grade(path)) else "not there" for path in (old, new)]
    totals = [(report["score"]["earned"], report["score"]["assessed"]) if report else None for report in reports]
    before, after = reports
    changes = tuple(compare_reports(before, after)) if before and after else ()
    return StudentChange(id, (totals[0], totals[1]), changes, (states[0], states[1]))


def compare_reports(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[ProblemChange]:
    """The problems for which anything changed, in the order of the new report, then those that it has no more."""
    before, after = ({problem["id"]: problem for problem in report["problems"]} for report in (old, new))
    for id in [*after, *(id for id in before if id not in after)]:
        change = _compare_problem(id, before.get(id), after.get(id))
        if change.earned[0] != change.earned[1] or change.worth[0] != change.worth[1] or change.tests:
            yield change


def _compare_problem(id: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> ProblemChange:
    before, after = (
        {test["id"]: test["outcome"] for test in (problem or {}).get("tests", ())} for problem in (old, new)
    )
    tests = [
        (test, before.get(test, _ABSENT), after.get(test, _ABSENT))
        for test in [*after, *(test for test in before if test not in after)]
        if before.get(test) != after.get(test)
    ]
    return ProblemChange(
        id,
        (old["earned"] if old else None, new["earned"] if new else None),
        (old["points"] if old else None, new["points"] if new else None),
        tuple(tests),
    )


def lines(changes: Iterable[StudentChange]) -> Iterator[str]:
    """What changed, for a person: each student with other points or tests, then which claims changed for how many."""
    count = others = outcomes = 0
    better: dict[str, int] = {}
    worse: dict[str, int] = {}
    for one in changes:
        count += 1
        others += one.has_other_points
        if one.totals[0] is None or one.totals[1] is None:
            if one.states[0] != one.states[1]:
                yield f"{one.id}: {one.states[0]} → {one.states[1]}"
            continue
        if not one.problems:
            continue
        outcomes += not one.has_other_points
        yield f"{one.id}: {_points(one.totals[0])} → {_points(one.totals[1])}"
        for change in one.problems:
            yield from _problem_lines(change)
            for claim in {claim_of({"id": test}) for test, _, after in change.tests if after == "pass"}:
                better[claim] = better.get(claim, 0) + 1
            for claim in {claim_of({"id": test}) for test, before, _ in change.tests if before == "pass"}:
                worse[claim] = worse.get(claim, 0) + 1
    if better or worse:
        yield ""
        yield "By claim: for how many some case of it"
        for claim in sorted({*better, *worse}, key=lambda claim: -better.get(claim, 0) - worse.get(claim, 0)):
            yield f"  {claim}: passes now {better.get(claim, 0)}, passes no more {worse.get(claim, 0)}"
    yield ""
    same = f"{outcomes} with the same points and other outcomes"
    yield f"{count} submission{'s' * (count != 1)}: {others} with other points, {same}."


def _points(total: tuple[float, float]) -> str:
    return f"{total[0]:g} of {total[1]:g}"


def _problem_lines(change: ProblemChange) -> Iterator[str]:
    points = (
        "" if change.earned[0] == change.earned[1] else f" {_number(change.earned[0])} → {_number(change.earned[1])}"
    )
    if change.worth[0] != change.worth[1]:
        points += f" (worth {_number(change.worth[0])} → {_number(change.worth[1])})"
    yield f"  {change.problem}{points or ' the same points'}"
    for test, before, after in change.tests[:_SHOWN]:
        yield f"    {in_one_line(test.partition('::')[2], 120)}: {before} → {after}"
    if len(change.tests) > _SHOWN:
        yield f"    and {len(change.tests) - _SHOWN} more"


def _number(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:g}"


def as_table(changes: Iterable[StudentChange]) -> str:
    """All changes as CSV: a line for each problem with other points, and one for each test with another outcome."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("id", "problem", "test", "before", "after"))
    for one in changes:
        if one.states[0] != one.states[1]:
            writer.writerow([cell(value) for value in (one.id, "", "", *one.states)])
        for change in one.problems:
            if change.earned[0] != change.earned[1]:
                writer.writerow([cell(value) for value in (one.id, change.problem, "", *change.earned)])
            for test, before, after in change.tests:
                writer.writerow([cell(value) for value in (one.id, change.problem, test, before, after)])
    return out.getvalue()
