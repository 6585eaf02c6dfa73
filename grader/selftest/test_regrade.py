"""What changed between two batches."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path
from typing import Any

import pytest

from grader.errors import Refused
from grader.selftest.forked import run_grader
from grader.selftest.golden import load_cases
from grader.staff.grade_state import Grade, GradeState, summary_of, write_grade
from grader.staff.regrade import as_table, compare_batches, compare_reports, lines

REPORT: dict[str, Any] = json.loads(
    next(case for case in load_cases() if case.name == "known_bug").stored()["report.json"]
)


def written(out: Path, **reports: dict[str, Any] | None) -> Path:
    """What a batch leaves of these reports; None: it could not be graded."""
    for id, report in reports.items():
        folder = out / "reports" / id
        folder.mkdir(parents=True)
        if report is None:
            write_grade(Grade(GradeState.REFUSED, "no adapters"), folder)
        else:
            (folder / "report.json").write_text(json.dumps(report))
            write_grade(Grade(GradeState.GRADED, summary=summary_of(report)), folder)
    return out


@pytest.fixture
def mended() -> dict[str, Any]:
    """The report in which linear passes, and is worth more."""
    report = copy.deepcopy(REPORT)
    linear = next(problem for problem in report["problems"] if problem["id"] == "linear")
    for test in linear["tests"]:
        test["outcome"] = "pass"
    linear |= {"earned": 2, "points": 2, "status": "pass"}
    report["score"] = {"earned": REPORT["score"]["earned"] + 2, "assessed": 4.0, "total": 4}
    return report


def test_a_problem_that_is_mended_and_worth_more(mended):
    (change,) = compare_reports(REPORT, mended)
    linear = next(problem for problem in REPORT["problems"] if problem["id"] == "linear")
    assert (change.problem, change.earned, change.worth) == ("linear", (0.0, 2), (1, 2))
    assert {(before, after) for _, before, after in change.tests} == {
        (test["outcome"], "pass") for test in linear["tests"] if test["outcome"] != "pass"
    }
    assert list(compare_reports(REPORT, REPORT)) == []


def test_a_problem_and_a_test_that_were_not_there_before(mended):
    less = copy.deepcopy(REPORT)
    gone = less["problems"].pop()
    test = less["problems"][0]["tests"].pop()
    changes = list(compare_reports(less, REPORT))
    assert [change.problem for change in changes] == [less["problems"][0]["id"], gone["id"]]
    assert changes[0].tests == ((test["id"], "-", test["outcome"]),)
    assert changes[1].earned[0] is None
    assert [change.earned[1] for change in compare_reports(REPORT, less)][-1] is None


def test_student_by_student(tmp_path, mended):
    old = written(tmp_path / "old", ada=REPORT, grace=REPORT, alan=None, left=REPORT)
    new = written(tmp_path / "new", ada=mended, grace=REPORT, alan=REPORT, come=REPORT)
    said = "\n".join(lines(compare_batches(old, new)))
    assert "ada: 1.91 of 3 → 3.91 of 4\n  linear 0 → 2 (worth 1 → 2)\n    test_" in said
    assert "alan: refused → graded" in said
    assert "left: graded → not there" in said
    assert "come: not there → graded" in said
    assert "grace" not in said
    assert "test_linear.py::test_matches_reference: passes now 1, passes no more 0" in said
    assert said.endswith("5 submissions: 4 with other points, 0 with the same points and other outcomes.")
    rows = list(csv.DictReader(as_table(compare_batches(old, new)).splitlines()))
    assert {"id": "ada", "problem": "linear", "test": "", "before": "0.0", "after": "2"} in rows
    assert sum(row["id"] == "ada" and row["after"] == "pass" for row in rows) >= 10


def test_as_typed(tmp_path, mended):
    old, new = written(tmp_path / "old", ada=REPORT), written(tmp_path / "new", ada=mended)
    table = tmp_path / "changes.csv"
    result = run_grader("regrade", old, new, "--csv", table)
    assert result.returncode == 0, result.stderr
    assert "1 submission: 1 with other points" in result.stdout
    assert table.read_text().startswith("id,problem,test,before,after\n")
    with pytest.raises(Refused, match="is not what a batch wrote"):
        list(compare_batches(tmp_path, new))
