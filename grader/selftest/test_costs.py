"""One bug costs once and in proportion: what is known of every bug is held to what the rubric says."""

from __future__ import annotations

from grader.scoring.rubric import load_rubric
from grader.trials.evidence import UNRECOGNISABLE, problems_with_misconceptions

from .costs import Cost, costs


def test_no_bug_is_free_and_none_too_dear():
    problems = [problem for problem in problems_with_misconceptions() if problem not in UNRECOGNISABLE]
    found = [cost.complaint for cost in costs(load_rubric(), problems) if cost.complaint]
    assert not found, "\n".join(found)


def test_a_bug_that_is_marked_as_leaving_nothing_right_does_cost_that_much():
    """The mark excuses what cannot be otherwise; on a bug that costs little it would only hide a change."""
    problems = [problem for problem in problems_with_misconceptions() if problem not in UNRECOGNISABLE]
    needless = [cost.bug for cost in costs(load_rubric(), problems) if cost.throughout and cost.share <= cost.most]
    assert not needless


def test_complaints_say_what_is_out_of_proportion():
    assert "free" in Cost("rope", "rope-x", 0.0, False, 0.5, advised=False).complaint
    assert "costs 75%" in Cost("rope", "rope-x", 0.75, False, 0.5, advised=False).complaint
    assert not Cost("rope", "rope-x", 0.75, True, 0.5, advised=False).complaint
    assert not Cost("rope", "rope-x", 0.5, False, 0.5, advised=False).complaint
