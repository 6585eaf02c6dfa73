"""What `grader hint` says: first what costs points, and never more than the next step."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from grader.diagnosis.known_bugs import KnownBug
from grader.grading import grade
from grader.misconceptions.catalogue import load_catalogue
from grader.report import model
from grader.report.hints import STATE_FILE, reply
from grader.report.model import Report, build_report
from grader.scoring.outcome import Explanation, Outcome, PlannedTest, Result, Tier
from grader.scoring.races import RaceResult, Speed
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import with_bug

RUBRIC = load_rubric()
BUG = KnownBug("a-bug", "rope", "What the code does.", "A check to run.", "common", {})


def report_of(problem: str, *tests: tuple[str, Result, Tier, bool], **options) -> Report:
    """A report on one problem with tests of these names, results and tiers; some of them for own adapters."""
    planned = [
        PlannedTest(name, problem, name, f"{name} holds.", tier, judges_values=True, own_adapter=own)
        for name, _, tier, own in tests
    ]
    outcomes = [Outcome(name, result, f"what {name} saw") for name, result, _, _ in tests]
    given = {"explanations": {}, "policy": {}, "seed": None, "isolation": {}, "environment": {}, **options}
    return build_report("x", RUBRIC, [RUBRIC[problem]], planned, outcomes, **given)


def test_hints_come_in_steps_and_the_diagnosis_last(tmp_path):
    root = with_bug(tmp_path / "bug", "rmsnorm-eps-outside-root")
    report = grade(str(root), RUBRIC, RUBRIC.select(["rmsnorm"]), isolation="process", jobs=1)
    given = [reply(report, tmp_path) for _ in range(4)]
    assert [text.splitlines()[0] for text in given] == [f"hint {i} of 3 for rmsnorm" for i in (1, 2, 3, 3)]
    diagnosis = next(bug.diagnosis for bug in load_catalogue("rmsnorm") if bug.id == "rmsnorm-eps-outside-root")
    assert diagnosis in given[2]
    assert diagnosis not in given[0] + given[1]


def test_advice_never_comes_before_what_costs_points(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "load_known_bugs", lambda: [BUG])
    tests = (("advice", Result.FAIL, Tier.ADVICE, False), ("core", Result.FAIL, Tier.CORE, False))
    report = report_of("rope", *tests, explanations={"advice": Explanation("a-bug", carried=False)})
    assert "core holds." in reply(report, tmp_path)


def test_where_only_advice_is_left_all_tests_pass(tmp_path):
    report = report_of("rope", ("core", Result.PASS, Tier.CORE, False), ("advice", Result.FAIL, Tier.ADVICE, False))
    assert reply(report, tmp_path).startswith("rope passes all 1 tests that count. What follows is advice")


def test_there_is_no_hint_for_adapters_that_a_submission_need_not_have(tmp_path):
    tests = (("core", Result.PASS, Tier.CORE, False), ("own", Result.SKIP, Tier.CORE, True))
    assert reply(report_of("linear", *tests), tmp_path) == "linear passes all 1 tests; there is nothing to hint at."
    assert "own holds." in reply(report_of("linear", *tests, own_adapters=["run_generate"]), tmp_path)


def test_what_is_carried_forward_is_asked_about_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "load_known_bugs", lambda: [BUG])
    tests = [("core", Result.FAIL, Tier.CORE, False)]
    report = report_of("transformer_lm", *tests, explanations={"core": Explanation("a-bug", carried=True)})
    assert "python -m grader hint rope" in reply(report, tmp_path)


RACE = RaceResult(
    "train_bpe_speed", "200 kB of text", "measured", verdict="slow", ratio=50.0, full=5, none=40, student_ms=900.0,
    reference_ms=18.0,
)  # fmt: skip


def race_reply(folder: Path, **changes) -> str:
    return reply(report_of("train_bpe_speed", speed=Speed((dataclasses.replace(RACE, **changes),))), folder)


def test_hints_for_a_race_speak_of_the_race(tmp_path):
    first, second, third = (race_reply(tmp_path) for _ in range(3))
    assert "at most 5 times as long as the reference" in first
    assert "It took 50.00 times as long" in second
    assert "cProfile" in third


def test_a_race_that_was_won_or_not_run_is_not_a_number_of_tests(tmp_path):
    assert race_reply(tmp_path, share=1.0) == "train_bpe_speed has full points in 1 race; there is nothing to hint at."
    assert "is not written yet" in race_reply(tmp_path, status="todo")
    assert "raised an exception" in race_reply(tmp_path, status="failed", message="train_bpe raised an exception")


@pytest.mark.parametrize("link", [".grader", STATE_FILE])
def test_what_was_given_is_never_written_through_a_link(tmp_path, link):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "hints.json").write_text("precious")
    root = tmp_path / "submission"
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside if link == ".grader" else outside / "hints.json")
    said = reply(report_of("rope", ("core", Result.FAIL, Tier.CORE, False)), root)
    assert said.startswith("hint 1 of 2 for rope")
    assert (outside / "hints.json").read_text() == "precious"
    assert [path.name for path in outside.iterdir()] == ["hints.json"]
    if link == ".grader":
        assert "This hint is not remembered: .grader is a link, which is not followed" in said
    else:
        assert json.loads((root / STATE_FILE).read_text()) == {"rope:core": 1}
        assert not (root / STATE_FILE).is_symlink()
