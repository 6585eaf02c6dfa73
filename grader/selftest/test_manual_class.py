"""A class' free text by question, and its scores: out as one table, in as one table."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest

from grader.errors import Refused
from grader.report.manual_scores import ManualScore
from grader.selftest.forked import run_grader
from grader.selftest.test_manual import ANSWER, REPORT
from grader.staff.grade_state import Grade, GradeState, forget, read_grade, write_grade
from grader.staff.kept_scores import SCORES, with_kept_scores
from grader.staff.manual_class import answers_table, enter_class_scores, read_class_scores

FORMULA = {"question": "=1+1", "answer": "=cmd|' /C calc'!A0\nin two lines"}


@pytest.fixture
def out(tmp_path) -> Path:
    """What a batch left of two students, whose names have letters that no blind id has (it is hexadecimal)."""
    for id in ("alan", "grace"):
        folder = tmp_path / "out" / "reports" / id
        folder.mkdir(parents=True)
        report = json.loads(json.dumps(REPORT))
        report |= {
            "submission": id, "seed": 1, "isolation": {"level": "process"}, "extensions": {}, "load_fault": None,
            "integrity": {"findings": []}, "environment": {"seconds": 1.0},
        }  # fmt: skip
        for problem in report["problems"]:
            problem |= {"section": "model", "blocked_by": [], "policy": [], "tests": []}
        report["problems"][1]["for_staff"] = [ANSWER, FORMULA]
        (folder / "report.json").write_text(json.dumps(report))
        write_grade(Grade(GradeState.GRADED, asked="x"), folder)
    return tmp_path / "out"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_answers_come_by_question_and_hold_no_formula(out):
    found = rows(answers_table(out))
    assert [(row["problem"], row["question"], row["id"]) for row in found] == [
        ("unicode2", "Why UTF-8?", "alan"), ("unicode2", "Why UTF-8?", "grace"),
        ("unicode2", "'=1+1", "alan"), ("unicode2", "'=1+1", "grace"),
        ("experiment_log", "experiment_log", "alan"), ("experiment_log", "experiment_log", "grace"),
    ]  # fmt: skip
    assert all("\x1b" not in row["answer"] and "\u202e" not in row["answer"] for row in found)


def test_blind_names_nobody_and_finds_everybody_again(out, tmp_path):
    text = answers_table(out, blind=True)
    assert "alan" not in text
    assert "grace" not in text
    assert text == answers_table(out, blind=True)
    found = rows(text)
    found[0] |= {"score": "2,5", "comment": "Good."}
    table = io.StringIO()
    writer = csv.DictWriter(table, found[0].keys(), delimiter=";")
    writer.writeheader()
    writer.writerows(found)
    (tmp_path / "scores.csv").write_text("\ufeff" + table.getvalue(), "utf-8")
    ((id, scores),) = read_class_scores(tmp_path / "scores.csv", out).items()
    assert id in ("alan", "grace")
    assert scores == {"unicode2": ManualScore(2.5, "Good.")}


def test_scores_reach_reports_and_states_and_the_batch_keeps_them(out):
    given = {"alan": {"experiment_log": ManualScore(2.0, "Careful.")}}
    ((id, score),) = enter_class_scores(out, given)
    assert (id, score) == ("alan", {"earned": 6.0, "assessed": 9.0, "total": 9.0})
    known = read_grade(out / "reports" / "alan")
    assert known
    assert known.asked == "x"
    assert known.summary
    assert known.summary["score"] == score
    assert rows(answers_table(out))[4]["score"] == "2.0"
    assert read_grade(out / "reports" / "grace") == Grade(GradeState.GRADED, asked="x")


def test_a_new_grade_keeps_scores_of_answers_that_are_the_same(out):
    """A person's work must outlive `--force`; it must not be passed on to an answer that they never read."""
    given = {"alan": {"experiment_log": ManualScore(2.0, "Careful."), "unicode2": ManualScore(3.0, "")}}
    list(enter_class_scores(out, given))
    folder = out / "reports" / "alan"
    forget(folder)
    again, outdated = with_kept_scores(REPORT | {"extensions": {}}, folder)
    assert outdated == ["unicode2"]
    assert again["score"] == {"earned": 6.0, "assessed": 9.0, "total": 9.0}
    assert again["problems"][3]["manual"]["comment"] == "Careful."
    assert "manual" not in again["problems"][1]

    fewer = json.loads(json.dumps(REPORT))
    fewer["problems"][3]["points"] = 1
    assert with_kept_scores(fewer, folder)[1] == ["unicode2", "experiment_log"]
    (folder / SCORES).write_text("{")
    assert with_kept_scores(REPORT, folder) == (REPORT, [])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("mallory,rope,1,", "row 2: no report in .* is of 'mallory'"),
        ("alan,ropes,1,", "has no problem 'ropes'"),
        ("alan,rope,3,", "score is '3'; it must be a number from 0 to 2"),
        ("alan,rope,nan,", "must be a number"),
        ("alan,rope,good,", "must be a number"),
        ("alan,rope,1,\nalan,rope,2,", "row 3: the problem has the score 1 in another line"),
    ],
)
def test_what_makes_no_sense_is_named(out, tmp_path, line, says):
    path = tmp_path / "scores.csv"
    path.write_text(f"id,problem,score,comment\n{line}\n")
    with pytest.raises(Refused, match=says):
        read_class_scores(path, out)


def test_a_score_may_stand_in_any_line_of_its_problem_and_comments_add_up(out, tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("id,problem,score,comment\nalan,unicode2,,First.\nalan,unicode2,3,Second.\ngrace,unicode2,,\n")
    assert read_class_scores(path, out) == {"alan": {"unicode2": ManualScore(3.0, "First.\nSecond.")}}


def test_as_typed(out, tmp_path):
    table = tmp_path / "answers.csv"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_grader("manual", out, *arguments)

    assert run("--template", str(table)).returncode == 0
    assert run("--template", str(table)).returncode == 2
    found = rows(table.read_text())
    found[-1]["score"] = "1"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, found[0].keys())
        writer.writeheader()
        writer.writerows(found)
    result = run(str(table))
    assert result.returncode == 0, result.stderr
    assert "grace" in result.stdout
    assert "5 of 9 assessed points" in result.stdout
