"""Points follow from outcomes by rules that fit on a page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grader.scoring.outcome import Outcome, PlannedTest, Result, Tier
from grader.scoring.points import Score, Status, score_problem
from grader.scoring.rubric import Problem, ProblemKind

PROBLEM = Problem("rope", "RoPE", "model", ProblemKind.CODE, points=4, core_share=0.75)


def _tier(claim: str, edge: str, advice: str) -> Tier:
    return Tier.ADVICE if claim in advice else Tier.EDGE if claim in edge else Tier.CORE


def rows(*claims: tuple[str, Result], edge: str = "", advice: str = "", values: str = "", own: str = ""):
    """(claim, result) pairs; claims named in `edge`, `advice`, `values` and `own` have that property."""
    return [
        (
            PlannedTest(
                f"t::{claim}[{i}]", "rope", claim, claim, _tier(claim, edge, advice), claim in values, claim in own
            ),
            Outcome(f"t::{claim}[{i}]", result),
        )
        for i, (claim, result) in enumerate(claims)
    ]


def test_all_passed_is_all_points():
    assert score_problem(PROBLEM, rows(("a", Result.PASS), ("b", Result.PASS), edge="b")) == Score(4, Status.PASS)


def test_core_and_edge_claims_have_their_shares():
    given = (("a", Result.PASS), ("b", Result.PASS), ("c", Result.FAIL), ("d", Result.PASS), ("e", Result.FAIL))
    assert score_problem(PROBLEM, rows(*given, edge="de")).earned == pytest.approx(4 * (0.75 * 2 / 3 + 0.25 / 2))


def test_advice_is_worth_nothing():
    given = (("a", Result.PASS), ("b", Result.PASS), ("c", Result.FAIL))
    assert score_problem(PROBLEM, rows(*given, edge="b", advice="c")) == Score(4, Status.PASS)
    wrong = (("a", Result.FAIL), ("b", Result.PASS))
    assert score_problem(PROBLEM, rows(*wrong, advice="b")) == Score(0, Status.FAIL)


def test_a_claim_needs_all_of_its_cases():
    given = (("a", Result.PASS), ("a", Result.PASS), ("a", Result.FAIL), ("b", Result.PASS))
    assert score_problem(PROBLEM, rows(*given)).earned == pytest.approx(2)


@pytest.mark.parametrize("result", [r for r in Result if r is not Result.PASS])
def test_nothing_but_a_pass_earns(result):
    assert score_problem(PROBLEM, rows(("a", result))).earned == 0


def test_properties_alone_earn_nothing():
    given = (("values", Result.FAIL), ("property", Result.PASS))
    assert score_problem(PROBLEM, rows(*given, values="values")) == Score(0, Status.FAIL)


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([Result.TODO, Result.TODO], Status.TODO),
        ([Result.TODO, Result.SKIP], Status.TODO),
        ([Result.SKIP, Result.SKIP], Status.NOT_PROVIDED),
        ([Result.ERROR, Result.ERROR], Status.ERROR),
        ([Result.CRASH, Result.TIMEOUT], Status.FAIL),
        ([Result.PASS, Result.TODO], Status.PARTIAL),
        ([], Status.NOT_ASSESSED),
    ],
)
def test_status(results, status):
    assert score_problem(PROBLEM, rows(*zip("ab", results, strict=False))).status is status


def test_a_carried_failure_costs_nothing_here():
    given = rows(("a", Result.PASS), ("b", Result.FAIL))
    assert score_problem(PROBLEM, given, carried={"t::b[1]"}) == Score(4, Status.PASS)
    assert score_problem(PROBLEM, given).earned == 2


def test_own_adapters_are_not_charged_to_a_public_solution():
    given = (("a", Result.PASS), ("b", Result.SKIP))
    assert score_problem(PROBLEM, rows(*given, edge="b", own="b"), knows_kit=False) == Score(4, Status.PASS)
    assert score_problem(PROBLEM, rows(*given, edge="b", own="b"), knows_kit=True).earned == 3


def test_a_problem_of_own_adapters_alone_is_outside_the_total_of_a_public_solution():
    given = rows(("a", Result.SKIP), ("b", Result.SKIP), own="ab")
    assert score_problem(PROBLEM, given, knows_kit=False) == Score(0, Status.NOT_PROVIDED, unassessed=4)
    assert score_problem(PROBLEM, given, knows_kit=True) == Score(0, Status.NOT_PROVIDED)


def test_what_is_absent_altogether_is_not_assessed():
    given = rows(("a", Result.ABSENT), ("b", Result.ABSENT))
    assert score_problem(PROBLEM, given) == Score(0, Status.NOT_ASSESSED, unassessed=4)


def test_what_is_absent_in_part_takes_its_share_out_of_the_total():
    given = (("a", Result.PASS), ("b", Result.ABSENT), ("c", Result.FAIL), ("d", Result.PASS))
    assert score_problem(PROBLEM, rows(*given)) == Score(2, Status.PARTIAL, unassessed=1)
    assert score_problem(PROBLEM, rows(*given[:2])) == Score(2, Status.PASS, unassessed=2)


def test_one_failed_case_outweighs_those_without_anything_to_look_at():
    given = rows(("a", Result.ABSENT), ("a", Result.FAIL), ("b", Result.PASS))
    assert score_problem(PROBLEM, given) == Score(2, Status.PARTIAL)


def test_decisive_claims_that_could_not_be_assessed_do_not_take_the_rest_along():
    given = (("values", Result.ABSENT), ("property", Result.PASS))
    experiment = replace(PROBLEM, kind=ProblemKind.ARTIFACT)
    assert score_problem(experiment, rows(*given, values="values")) == Score(2, Status.PASS, unassessed=2)


def test_code_whose_values_could_not_be_compared_is_not_assessed():
    """A package that exists nowhere excuses wrong code from being compared; its shapes may be right all the same."""
    given = (("values", Result.ABSENT), ("property", Result.PASS))
    assert score_problem(PROBLEM, rows(*given, values="values")) == Score(0, Status.NOT_ASSESSED, unassessed=4)
