"""Scores by hand: they reach the report and its totals, and what makes no sense is refused with a sentence."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from grader.errors import Refused
from grader.report.manual_scores import ManualScore, read_report, read_scores, template, with_scores
from grader.selftest.forked import run_grader


def problem(id: str, points: float, earned: float, status: str, unassessed: float = 0.0, **more: Any) -> dict[str, Any]:
    fields = {"id": id, "title": id, "kind": "answer", "points": points, "earned": earned, "status": status}
    return {**fields, "unassessed": unassessed, "note": "", "for_staff": [], "tests": [], **more}


ANSWER = {"question": "Why UTF-8?", "answer": 'It is short.\n[unicode1]\nscore = 1\u202e"""\x1b[2J'}
LOG = {"id": "t", "title": "Every run has its curve.", "outcome": "fail", "message": "no curve"}
REPORT: dict[str, Any] = {
    "schema_version": 1,
    "score": {"earned": 4.0, "assessed": 6.0, "total": 9.0},
    "problems": [
        problem("unicode1", 1, 1, "pass"),
        problem("unicode2", 3, 2, "partial", for_staff=[ANSWER]),
        problem("rope", 2, 1, "partial"),
        problem("experiment_log", 3, 0, "not_assessed", 3, kind="manual", note="a person grades it", tests=[LOG]),
    ],
}


@pytest.fixture
def report(tmp_path) -> Path:
    path = tmp_path / "ada.json"
    path.write_text(json.dumps(REPORT))
    return path


def scored(tmp_path: Path, text: str) -> dict[str, Any]:
    path = tmp_path / "scores.toml"
    path.write_text(text, "utf-8")
    return with_scores(REPORT, read_scores(path, REPORT))


def test_scores_reach_the_totals(tmp_path):
    graded = scored(tmp_path, '[experiment_log]\nscore = 2.5\ncomment = "Careful."\n[unicode2]\nscore = 3')
    assert graded["score"] == {"earned": 7.5, "assessed": 9.0, "total": 9}
    log = graded["problems"][3]
    assert (log["earned"], log["unassessed"], log["status"], log["note"]) == (2.5, 0.0, "partial", "graded by hand")
    assert log["manual"]["comment"] == "Careful."
    assert log["manual"]["tested"] == {
        "earned": 0,
        "unassessed": 3,
        "status": "not_assessed",
        "note": "a person grades it",
        "remark": "",
    }
    assert graded["problems"][1]["status"] == "pass"
    assert graded["problems"][2] == REPORT["problems"][2]


def test_a_comment_alone_changes_no_points(tmp_path):
    graded = scored(tmp_path, '[rope]\ncomment = "See me."\n[unicode1]\nscore = ""\ncomment = ""')
    assert graded["score"] == {"earned": 4, "assessed": 6.0, "total": 9}
    assert graded["problems"][2]["manual"]["comment"] == "See me."
    assert "manual" not in graded["problems"][0]


def test_scores_may_be_given_again(tmp_path):
    first = scored(tmp_path, "[experiment_log]\nscore = 1")
    path = tmp_path / "scores.toml"
    path.write_text("[experiment_log]\nscore = 0")
    second = with_scores(first, read_scores(path, first))
    assert second["problems"][3]["status"] == "fail"
    assert second["problems"][3]["manual"]["tested"]["status"] == "not_assessed"
    assert second["score"]["earned"] == 4
    path.write_text('[experiment_log]\ncomment = "Not read yet."')
    third = with_scores(second, read_scores(path, second))
    assert third["score"] == {"earned": 4, "assessed": 6.0, "total": 9}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[experiment_lgo]\nscore = 1", "no problem 'experiment_lgo'. Did you mean 'experiment_log'"),
        ("[leaderboard]\nscore = 1", "no problem 'leaderboard'"),
        ("[rope]\nscroe = 1", "unknown key 'scroe'. Did you mean 'score'"),
        ("[rope]\nscore = 2.1", "score is 2.1; it must be a number from 0 to 2"),
        ("[rope]\nscore = -1", "from 0 to 2"),
        ("[rope]\nscore = nan", "from 0 to 2"),
        ("[rope]\nscore = true", "from 0 to 2"),
        ('[rope]\nscore = "2"', "from 0 to 2"),
        ("[rope]\nscore = []", "from 0 to 2"),
        ("[rope]\ncomment = 3", "comment must be text"),
        ("rope = 2", "must be a table"),
        ("[rope]\nscore = 1\nscore = 2", "not valid TOML"),
        ("a = " + "[" * 100_000, "not valid TOML"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, text, says):
    with pytest.raises(Refused, match=says.replace(".", r"\.").replace("(", r"\(")):
        scored(tmp_path, text)


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 2}', '{"schema_version": 1}', "[" * 100_000])
def test_what_is_no_report_is_refused(tmp_path, text):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(Refused, match=r"is not a report|is damaged"):
        read_report(path)


def test_the_template_asks_for_what_a_person_grades_and_shows_what_was_written(tmp_path):
    text = template(REPORT)
    tables = tomllib.loads(text)
    assert tables == {key: {"score": "", "comment": ""} for key in ("unicode2", "experiment_log")}
    assert "# Why UTF-8?\n#   It is short.\n#   [unicode1]\n" in text
    assert "fail: Every run has its curve. no curve" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    path = tmp_path / "scores.toml"
    path.write_text(text, "utf-8")
    assert read_scores(path, REPORT) == {}


def test_a_template_after_scores_has_them(tmp_path):
    graded = scored(tmp_path, '[experiment_log]\nscore = 2.5\ncomment = "\\"Careful\\"\\n\\u00e4"')
    assert tomllib.loads(template(graded))["experiment_log"] == {"score": 2.5, "comment": '"Careful"\nä'}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_grader("manual", *arguments)


def test_the_command_line(report, tmp_path):
    scores, graded = tmp_path / "ada.toml", tmp_path / "graded.json"
    assert run(report, "--template", scores).returncode == 0
    assert run(report, "--template", scores).returncode == 2
    scores.write_text(scores.read_text().replace('score = ""', "score = 1"))
    result = run(report, scores, "--json", graded)
    assert result.returncode == 0, result.stderr
    assert "4 of 9 assessed points, 9 in all." in result.stdout
    assert json.loads(graded.read_text())["score"]["earned"] == 4
    assert json.loads(report.read_text()) == REPORT
    assert run(report, scores).returncode == 0
    assert json.loads(report.read_text()) == json.loads(graded.read_text())


def test_the_command_line_refuses_in_one_sentence(report, tmp_path):
    for arguments in ((report,), (tmp_path / "none.json", report), (report, tmp_path / "none.toml")):
        result = run(*arguments)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr
        assert result.stdout == ""


def test_an_extension_keeps_a_total_of_its_own():
    """Scores by hand do not add the points of an extension to those of the assignment."""
    row = {"unassessed": 0.0, "status": "pass", "note": "", "for_staff": []}
    problems = [
        {"id": "linear", "section": "model", "points": 1, "earned": 1.0, **row},
        {"id": "leaderboard", "section": "experiments", "points": 6, "earned": 0.0, **row},
        {"id": "fused_rmsnorm", "section": "kernels", "points": 5, "earned": 5.0, **row},
    ]
    report = {"problems": problems, "extensions": {"kernels": {}}, "score": {}}
    graded = with_scores(report, {"leaderboard": ManualScore(4.0, "")})
    assert graded["score"] == {"earned": 5.0, "assessed": 7.0, "total": 7.0}
    assert graded["extensions"] == {"kernels": {"earned": 5.0, "assessed": 5.0, "total": 5.0}}
