"""The promises of the README, kept in full runs: reference, skeleton, another layout, and the students' copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.cases.store import draw_cases, problems_with_cases
from grader.examination.runner import has_tests
from grader.kit.paths import KIT, REFERENCE
from grader.scoring.rubric import ProblemKind, load_rubric
from grader.selftest.layouts import public_layout, public_solution, with_rope_in_halves
from grader.selftest.report_contract import checked

TESTED = [problem for problem in load_rubric().problems if has_tests(problem)]


def grade(submission: Path | str, folder: Path, *options: str, kit: Path = KIT) -> dict:
    """The JSON report of one grade, which must end with exit code 0."""
    target = folder / "report.json"
    command = [sys.executable, "-m", "grader", str(submission), "--json", str(target), *options]
    result = subprocess.run(command, cwd=kit, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return checked(target.read_text("utf-8"))


@pytest.fixture(scope="module")
def reference_report(tmp_path_factory) -> dict:
    return grade("grader/reference", tmp_path_factory.mktemp("reference"))


def test_the_reference_has_full_marks(reference_report):
    for problem in reference_report["problems"]:
        if problem["status"] != "not_assessed":
            failed = [test for test in problem["tests"] if test["outcome"] != "pass"]
            assert problem["status"] == "pass", failed
            assert problem["earned"] == problem["points"]
    assert reference_report["score"]["earned"] == reference_report["score"]["assessed"]


def test_what_is_not_assessed_needs_a_person_or_a_gpu(reference_report):
    left_out = [problem for problem in reference_report["problems"] if problem["status"] == "not_assessed"]
    assert {problem["kind"] for problem in left_out} <= {"manual", "performance"}, [p["id"] for p in left_out]


def test_the_report_names_its_seed(reference_report):
    assert isinstance(reference_report["seed"], int)


def test_every_planned_test_appears_once(reference_report):
    ids = [test["id"] for problem in reference_report["problems"] for test in problem["tests"]]
    assert len(ids) == len(set(ids))


def test_fresh_cases_ran_beside_the_stored_ones(reference_report):
    ids = {test["id"] for problem in reference_report["problems"] for test in problem["tests"]}
    fresh = {name for name in ids if name.endswith("-fresh]")}
    assert len(fresh) > 50
    drawn_only = {
        f"[{case.name}]" for problem in problems_with_cases() for case in draw_cases(problem, 0) if not case.stored
    }
    alone = {name for name in fresh if name.replace("-fresh]", "]") not in ids}
    assert all(f"[{name.partition('[')[2]}".replace("-fresh]", "]") in drawn_only for name in alone)


def test_the_skeleton_is_all_todo(tmp_path):
    report = grade(".", tmp_path, "--jobs", "1")
    statuses = {problem["status"] for problem in report["problems"]}
    assert statuses == {"todo", "not_assessed"}
    outcomes = {test["outcome"] for problem in report["problems"] for test in problem["tests"]}
    assert outcomes == {"todo", "absent"}  # none takes the exception of a stub for an answer
    assert report["score"]["earned"] == 0


@pytest.fixture(scope="module")
def handout(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("class") / "skeleton"
    command = [sys.executable, "-m", "grader", "handout", str(folder)]
    subprocess.run(command, cwd=KIT, check=True, capture_output=True)
    return folder


def test_the_handout_has_no_solution(handout):
    names = {str(path.relative_to(handout)) for path in handout.rglob("*")}
    staff_only = ("reference", "misconceptions", "selftest", "cases/generators", "fixtures", "trials")
    assert not [name for name in names if name.startswith(tuple(f"grader/{part}" for part in staff_only))]
    assert not [name for name in names if name.endswith(".pyc")]
    assert {"adapters.py", "answers.toml", "runs/README.md", "Makefile", "cs336_basics/rope.py"} <= names
    assert {
        "tests/test_rope.py",
        "tests/test_generate.py",
        "grader/scoring/rubric.toml",
        "grader/artifacts/run.py",
    } <= names
    assert "grader/artifacts/measurement.py" not in names


def test_the_handout_tests_itself(handout):
    command = [sys.executable, "-m", "pytest", "-q", "tests"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    result = subprocess.run(command, cwd=handout, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "todo" in result.stdout.splitlines()[-1]
    assert "failed" not in result.stdout


def test_the_handout_grades_itself_on_stored_cases(handout, tmp_path):
    report = grade(".", tmp_path, "--jobs", "1", kit=handout)
    assert report["seed"] is None
    assert report["score"]["earned"] == 0


def test_a_solution_earns_full_marks_in_the_handout(handout, tmp_path, reference_report):
    """In the public layout, below a path with a space; test_public_submissions.py has that layout on fresh cases."""
    root = public_layout(tmp_path / "a solution")
    shutil.copy(REFERENCE / "answers.toml", root)
    shutil.copytree(REFERENCE / "runs", root / "runs")
    report = grade(root, tmp_path, "--jobs", "1", kit=handout)
    assert report["score"]["earned"] == report["score"]["assessed"]
    passed = {problem["id"] for problem in report["problems"] if problem["status"] == "pass"}
    assert passed >= {problem.id for problem in TESTED if problem.kind in (ProblemKind.CODE, ProblemKind.ANSWER)}
    for problem, expected in zip(report["problems"], reference_report["problems"], strict=True):
        assert problem["id"] == expected["id"]
        if problem["kind"] in ("code", "answer"):
            assert problem["earned"] == expected["earned"]


def test_what_a_problem_builds_on_is_looked_at_in_the_handout(handout, tmp_path):
    root = with_rope_in_halves(public_solution(tmp_path / "solution"))
    report = grade(root, tmp_path, "--problem", "transformer_lm", kit=handout)
    [problem] = report["problems"]
    assert (problem["earned"], problem["blocked_by"], problem["note"]) == (problem["points"], ["rope"], "")
    assert {found["id"]: found["status"] for found in report["looked_at"]}["rope"] in ("fail", "partial")
