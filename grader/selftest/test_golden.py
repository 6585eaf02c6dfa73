"""What a grade says, word for word: the golden reports."""

from __future__ import annotations

import json
import re
import sys

import pytest

from grader.rules.from_scratch import Effect
from grader.scoring.outcome import Result, Tier
from grader.scoring.points import Status
from grader.selftest.golden import graded, load_cases, rendered

CASES = load_cases()


@pytest.mark.skipif(sys.platform != "linux", reason="the reports say what isolation leaves open on Linux")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_report_is_the_golden_one(case):
    """If the change is meant: `make golden`, and read the diff before it is committed."""
    now = rendered(graded(case))
    stored = case.stored()
    assert now.keys() == stored.keys()
    for name, text in now.items():
        assert text.splitlines() == stored[name].splitlines(), f"{case.name}/{name} has changed"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_report_says_nothing_about_the_machine(case):
    """A traceback that led through the grader's temporary folder, or through Python's own files, helps nobody."""
    for name, text in case.stored().items():
        assert not re.search(r"(?<!\w)/(?:tmp|var|home|root|usr|work|Users)/", text), name


def test_together_they_show_what_a_report_can_say():
    """All but what takes as long as a limit."""
    reports = [json.loads(case.stored()["report.json"]) for case in CASES]
    problems = [problem for report in reports for problem in (*report["problems"], *report["looked_at"])]
    tests = [test for problem in problems for test in problem["tests"]]
    assert {problem["status"] for problem in problems} == set(Status)
    assert {test["outcome"] for test in tests} == set(Result) - {Result.TIMEOUT}
    assert {test["kind"] for test in tests} == set(Tier)
    assert {finding["effect"] for problem in problems for finding in problem["policy"]} == set(Effect)
    assert {report["integrity"]["verdict"] for report in reports} == {"clean", "suspicious"}
    for key in ("misconception", "carried_forward", "detail", "expected", "got", "where"):
        assert any(test[key] for test in tests), key
    for key in ("blocked_by", "note", "for_staff", "unassessed"):
        assert any(problem[key] for problem in problems), key
    for key in ("load_fault", "looked_at"):
        assert any(report[key] for report in reports), key
