"""The points of a problem do not depend on what else is graded: what it builds on is looked at where it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.examination.runner import _shares
from grader.grading import grade
from grader.performance import assess
from grader.report.model import ProblemReport, Report
from grader.scoring.points import Status
from grader.scoring.races import NO_RACES
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import public_solution, with_rope_in_halves, written

RUBRIC = load_rubric()


def graded(root: Path, *problems: str, section: str | None = None) -> Report:
    chosen = RUBRIC.select(problems, section)
    return grade(str(root), RUBRIC, chosen, seed=1, isolation="process", jobs=2)


def of(report: Report, problem: str) -> ProblemReport:
    return next(p for p in (*report.problems, *report.looked_at) if p.problem.id == problem)


def said(problem: ProblemReport) -> tuple:
    return problem.score, problem.blocked_by, problem.remark, [test.bug and test.bug.id for test in problem.tests]


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> Path:
    return with_rope_in_halves(public_solution(tmp_path_factory.mktemp("halves") / "solution"))


@pytest.fixture(scope="module")
def whole(halves) -> Report:
    return graded(halves, section="model")


@pytest.mark.parametrize("selected", [("transformer_lm",), ("rope", "transformer_lm")])
def test_a_selected_problem_has_the_points_of_the_whole_grade(halves, whole, selected):
    report = graded(halves, *selected)
    assert [problem.problem.id for problem in report.problems] == list(selected)
    assert said(of(report, "transformer_lm")) == said(of(whole, "transformer_lm"))
    assert said(of(report, "rope")) == said(of(whole, "rope"))
    assert of(report, "transformer_lm").remark == "carried forward from rope"
    assert report.total == sum(RUBRIC[problem].points for problem in selected)
    assert whole.looked_at == ()


def test_ready_made_code_that_counts_below_does_not_count_again(tmp_path):
    root = public_solution(tmp_path / "solution")
    attention = root / "cs336_basics" / "attention.py"
    attention.write_text(
        attention.read_text("utf-8")
        + "\n\ndef scaled_dot_product_attention(Q, K, V, mask=None):\n"
        + "    return torch.nn.functional.scaled_dot_product_attention(Q, K, V, mask)\n",
        "utf-8",
    )
    both = graded(root, "scaled_dot_product_attention", "multihead_self_attention")
    alone = graded(root, "multihead_self_attention")
    assert of(both, "scaled_dot_product_attention").is_withheld
    assert of(alone, "multihead_self_attention").score == of(both, "multihead_self_attention").score
    assert of(alone, "multihead_self_attention").score.earned > 0


def test_what_passes_has_nothing_looked_at(tmp_path):
    report = graded(public_solution(tmp_path / "solution"), "scaled_dot_product_attention")
    assert report.problems[0].score.status is Status.PASS
    assert report.looked_at == ()


def test_a_race_is_counted_with_what_it_builds_on(tmp_path):
    report = graded(written(tmp_path, "NOTHING = 0\n"), "tokenizer_speed")
    assert [problem.problem.id for problem in report.looked_at] == ["tokenizer"]


def test_problems_that_build_on_the_same_one_have_the_same_examiner():
    selected = RUBRIC.select(["transformer_lm", "training_together", "decoding", "tokenizer"])
    for share in _shares(selected, 50, RUBRIC.below(selected)):
        ids = {problem.id for problem in share}
        assert ("transformer_lm" in ids) == ("decoding" in ids)  # both build on softmax
        assert "tokenizer" not in ids or len(ids) == 1


@pytest.mark.parametrize(("stub", "problem"), [("run_train_bpe", "train_bpe"), ("get_tokenizer", "tokenizer")])
def test_a_race_over_stubs_is_todo_without_being_held(tmp_path, monkeypatch, stub, problem):
    """Two workers and a judge take seconds to start, and half-done submissions are the ones that are graded most."""
    held: list[str] = []

    def hold(layout, problems, **_):
        held.extend(problem.id for problem in problems)
        return NO_RACES

    monkeypatch.setattr(assess, "assess_speed", hold)
    root = written(tmp_path, f"def {stub}(*_, **__):\n    raise NotImplementedError\n")
    wanted = RUBRIC.select(["train_bpe_speed", "tokenizer_speed"])
    report = grade(str(root), RUBRIC, wanted, seed=1, isolation="process")
    race = of(report, f"{problem}_speed")
    assert (race.score.status, race.races[0].message) == (Status.TODO, f"{problem}: still to be written")
    assert held == [race.id for race in wanted if race.needs != (problem,)]
