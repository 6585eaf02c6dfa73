"""The HTML report: complete, self-contained, and deaf to what a submission writes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from grader.diagnosis.known_bugs import KnownBug
from grader.report.html import render
from grader.report.model import Report, TestReport, build_report
from grader.scoring.outcome import Outcome, PlannedTest, Result, Tier
from grader.scoring.races import RaceResult, Speed
from grader.scoring.rubric import load_rubric

HOSTILE = '<script>alert("points")</script>'
RACE = RaceResult(
    "softmax_speed", "8,192 × 8,192 float32", "measured", verdict="between", ratio=5.0, low=4.9, high=5.1, full=4.0,
    none=16.0, share=0.9, pairs=12, student_ms=5.0, reference_ms=1.0, roofline_ms=0.8, work=2.4e9, unit="B",
)  # fmt: skip


@pytest.fixture
def report() -> Report:
    rubric = load_rubric()
    problems = rubric.select(["rope", "softmax_speed", "linear"])
    test = PlannedTest("test_rope.py::test_x", "rope", "test_rope.py::test_x", "RoPE rotates.", Tier.CORE, True, False)
    return build_report(
        "their-solution", rubric, problems, [test], [Outcome(test.id, Result.FAIL, HOSTILE, HOSTILE)], {},
        policy={}, seed=7, isolation={"level": "process", "missing": []}, environment={"seconds": 1.0},
        speed=Speed((RACE, replace(RACE, tensors="other", status="wrong", message=HOSTILE))),
    )  # fmt: skip


def test_what_a_submission_writes_is_text(report):
    page = render(report)
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;") == 3


def test_it_needs_nothing_else(report):
    page = render(report)
    assert not re.search(r"<script|<link|src=|href=.[^#]|url\(", page)


def test_it_shows_points_and_rates(report):
    page = render(report)
    assert "RoPE rotates." in page
    assert re.search(r"480 GB/s, reference 2,400 GB/s, roofline 3,000 GB/s", page)
    assert re.search(r'<rect x="0" y="20" width="76.8"', page)
    assert "0 of 2 assessed points" in page


def test_a_known_bug_is_named_once(report):
    """However many tests show it."""
    bug = KnownBug("rope/halves", "rope", "It rotates halves.", "Which pairs turn together?", "common", {})
    linear, rope, softmax = report.problems
    (only,) = (test.plan for test in rope.tests)
    plans = [replace(only, id=f"{only.claim}_{x}", claim=f"{only.claim}_{x}", title=f"Claim {x}.") for x in "abc"]
    tests = [TestReport(plan, Outcome(plan.id, Result.FAIL, "differs"), bug) for plan in plans[:2]]
    unexplained = TestReport(plans[2], Outcome(plans[2].id, Result.FAIL, "something else"))
    page = render(replace(report, problems=(linear, replace(rope, tests=(unexplained, *tests)), softmax)))
    assert page.count("It rotates halves.") == 1
    assert page.index("Claim a.") < page.index("Claim b.") < page.index("Claim c.")
