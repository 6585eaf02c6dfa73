"""A class as a table: `grades.csv`, one line for each student. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..report.formats.spreadsheet import cell
from .collection import HandedIn
from .grade_state import PAGE, Grade, GradeState
from .roster import Student


@dataclass(frozen=True)
class ClassRow:
    """One submission and what came of it."""

    submission: HandedIn
    grade: Grade

    @property
    def looks(self) -> tuple[str, ...]:
        """What a person should look at, as sentences."""
        why = (
            () if self.grade.state is GradeState.GRADED else (f"{self.grade.state}: {self.grade.message}".rstrip(": "),)
        )
        found = tuple(self.grade.summary["looks"]) if self.grade.summary else ()
        return (*why, *self.submission.notes, *found)


def class_csv(rows: Iterable[ClassRow], problems: Sequence[str]) -> str:
    """The table: who, what came of it, points of the assignment, points by problem, what a person should look at.

    A problem's cell is empty where nothing of it was assessed.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_HEADER, *problems, "look at", "report"])
    for row in rows:
        for student in row.submission.students:
            writer.writerow([cell(value) for value in _line(row, student, problems)])
    return out.getvalue()


_HEADER = ("id", "name", "email", "state", "earned", "assessed", "total", "percent")


def _line(row: ClassRow, student: Student, problems: Sequence[str]) -> list[Any]:
    summary = row.grade.summary
    looks = "; ".join(row.looks)
    if summary is None:
        nothing = [None] * (4 + len(problems))
        return [student.id, student.name, student.email, str(row.grade.state), *nothing, looks, None]
    score, found = summary["score"], summary["problems"]
    percent = round(100 * score["earned"] / score["assessed"], 1) if score["assessed"] else None
    points = [
        found[problem]["earned"]
        if problem in found and found[problem]["points"] > found[problem]["unassessed"]
        else None
        for problem in problems
    ]
    totals = [score["earned"], score["assessed"], score["total"], percent]
    place = f"reports/{row.submission.id}/{PAGE}"
    return [student.id, student.name, student.email, str(row.grade.state), *totals, *points, looks, place]
