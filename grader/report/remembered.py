"""What was last found out about each problem, kept in the submission's folder for `watch` and `status`.

`.grader/results.json`: {"version": 1, "results": {problem: the fields of `Remembered`}}. Nothing is graded by it: who
changes the file deceives nobody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..rules.reach import Reach, reach_of, state_of
from ..scoring.points import Status
from ..scoring.rubric import Rubric
from ..submission.files import Files
from ..submission.locate import locate
from .model import Report

STATE_FILE = ".grader/results.json"
_VERSION = 1
_TEXT_LIMIT = 200


@dataclass(frozen=True)
class Remembered:
    """What came of a problem's tests.

    earned, possible: points, and those that could be earned here; passed: tests, as in "17/18"; at: when, in seconds
    since 1970; code: the state of the files that it rests on, as `rules.reach.state_of` gives it.
    """

    status: Status
    earned: float
    possible: float
    passed: str
    at: float
    code: str


def results_of(report: Report, reach: Mapping[str, Reach], files: Files, at: float) -> dict[str, Remembered]:
    """{problem: what to remember} of what a report says about problems that were asked for."""
    return {
        problem.problem.id: Remembered(
            status=problem.score.status,
            earned=problem.score.earned,
            possible=problem.problem.points - problem.score.unassessed,
            passed=problem.passed,
            at=round(at, 1),
            code=state_of(files, reach.get(problem.problem.id, Reach())),
        )
        for problem in report.problems
    }


def remember(files: Files, results: Mapping[str, Remembered]) -> str:
    """Keep these results, in place of earlier ones of the same problems; gives why that is impossible, or ""."""
    known = {**recall(files), **results}
    table = {problem: {**dataclasses.asdict(known[problem]), "status": str(known[problem].status)} for problem in known}
    return files.remember(STATE_FILE, {"version": _VERSION, "results": table})


def remember_own(report: Report, rubric: Rubric) -> None:
    """Keep what a grade found of the code in the folder in which it was started: whose code it is works there.

    Where it cannot be kept, nothing is lost but that.
    """
    if report.folder and Path(report.folder) == Path.cwd():
        with contextlib.suppress(Refused):
            reach = reach_of(locate(report.folder), rubric.problems)
            files = Files(report.folder)
            remember(files, results_of(report, reach, files, time.time()))


def recall(files: Files) -> dict[str, Remembered]:
    """What is remembered; nothing where the file is missing, damaged or of another version."""
    table = files.recall(STATE_FILE)
    if not isinstance(table, dict) or table.get("version") != _VERSION or not isinstance(table.get("results"), dict):
        return {}
    return {
        str(problem): Remembered(**{**fields, "status": Status(fields["status"])})
        for problem, fields in table["results"].items()
        if _is_result(fields)
    }


def _is_result(fields: Any) -> bool:
    match fields:
        case {
            "status": str(status),
            "earned": int() | float() as earned,
            "possible": int() | float() as possible,
            "passed": str(passed),
            "at": int() | float() as at,
            "code": str(code),
        }:
            plain = passed.isprintable() and max(len(passed), len(code)) <= _TEXT_LIMIT
            return (
                plain
                and len(fields) == 6
                and status in list(Status)
                and all(map(math.isfinite, (earned, possible, at)))
            )
    return False
