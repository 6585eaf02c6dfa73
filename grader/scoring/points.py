"""From outcomes to points. Pure: no clock, no file, no torch.

A *claim* is one test function, for all of its cases. It earns its share of the problem's points when every one of its
cases passes, and nothing otherwise: a claim that holds for one input and fails for another does not hold. Core claims
share `core_share` of the points evenly, edge claims the rest; advice is worth nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from .outcome import Outcome, PlannedTest, Result, Tier
from .rubric import Problem, ProblemKind


class Status(enum.StrEnum):
    """What the report says about a problem as a whole."""

    PASS = "pass"
    PARTIAL = "partial"
    FAIL = "fail"
    TODO = "todo"
    NOT_PROVIDED = "not_provided"
    NOT_ASSESSED = "not_assessed"
    ERROR = "error"


@dataclass(frozen=True)
class Score:
    """Points earned in one problem.

    unassessed: points of the problem that nobody could earn here, because what they are for is not there or cannot be
    measured; they stay outside the total.
    """

    earned: float
    status: Status
    unassessed: float = 0.0


def score_problem(
    problem: Problem,
    tests: Sequence[tuple[PlannedTest, Outcome]],
    *,
    carried: Collection[str] = (),
    knows_kit: bool = True,
) -> Score:
    """Score one problem.

    Args:
        tests: each planned test with its outcome.
        carried: ids of tests that fail only because a known bug is carried forward from another problem. They
            count as passed: one bug costs once, where it is.
        knows_kit: whether the submission defines any of the kit's own adapters. One of the public assignment does
            not, and tests that need them say nothing about it, whatever came of them.
    """
    points = float(problem.points)
    tests = [(test, outcome) for test, outcome in tests if test.tier is not Tier.ADVICE]
    if problem.kind is ProblemKind.MANUAL:  # what tests there are only help the person who decides
        return Score(0.0, Status.NOT_ASSESSED, unassessed=points)
    if not knows_kit and tests:
        tests = [(test, o) for test, o in tests if not test.own_adapter]
        if not tests:
            return Score(0.0, Status.NOT_PROVIDED, unassessed=points)
    if all(outcome.result is Result.ABSENT for _, outcome in tests):
        return Score(0.0, Status.NOT_ASSESSED, unassessed=points)
    tests = [(test, replace(o, result=Result.PASS) if o.id in carried else o) for test, o in tests]
    earned, unassessed = (round(points * part, 2) for part in _fractions(problem, tests))
    if unassessed == points:
        return Score(0.0, Status.NOT_ASSESSED, unassessed)
    results = {outcome.result for _, outcome in tests} - {Result.ABSENT}
    if results == {Result.SKIP}:
        return Score(0.0, Status.NOT_PROVIDED, unassessed)
    if results <= {Result.TODO, Result.SKIP}:
        return Score(0.0, Status.TODO, unassessed)
    if results == {Result.PASS}:
        return Score(round(points - unassessed, 2), Status.PASS, unassessed)
    if results == {Result.ERROR}:
        return Score(0.0, Status.ERROR, unassessed)
    return Score(earned, Status.PARTIAL if earned > 0 else Status.FAIL, unassessed)


def score_unbegun(problem: Problem, result: Result, *, knows_kit: bool = True) -> Score:
    """Score an optional problem of which nothing is written, as its tests would have come out.

    Args:
        result: TODO, or SKIP where it is not provided.
    """
    if result is Result.SKIP:
        return Score(0.0, Status.NOT_PROVIDED, unassessed=0.0 if knows_kit else float(problem.points))
    return Score(0.0, Status.TODO)


def withheld(score: Score) -> Score:
    """What is left of a score when ready-made code did the work: nothing, where there was something to lose."""
    lost = score.status in (Status.PASS, Status.PARTIAL, Status.FAIL)
    return replace(score, earned=0.0, status=Status.FAIL) if lost else score


def _fractions(problem: Problem, tests: Iterable[tuple[PlannedTest, Outcome]]) -> tuple[float, float]:
    """The shares of a problem's points that its claims earn, and that could not be assessed; between 0 and 1."""
    claims: dict[str, list[tuple[PlannedTest, Outcome]]] = {}
    for test, outcome in tests:
        claims.setdefault(test.claim, []).append((test, outcome))
    held = {claim: all(o.result is Result.PASS for _, o in members) for claim, members in claims.items()}
    absent = {claim: _is_absent([o.result for _, o in members]) for claim, members in claims.items()}
    edge = {claim: members[0][0].tier is Tier.EDGE for claim, members in claims.items()}
    judging = [claim for claim, members in claims.items() if members[0][0].judges_values and not edge[claim]]
    # Properties such as "keeps the dtype" hold for many wrong answers, so alone they earn nothing.
    idle = bool(judging) and not any(held[claim] or absent[claim] for claim in judging)
    if problem.kind is ProblemKind.CODE and judging and not any(held[claim] for claim in judging):
        # Code says for itself what it cannot be assessed for, by asking for a package: then, too, they earn nothing.
        if all(absent[claim] for claim in judging):
            return 0.0, 1.0
        idle = True
    shares = {False: problem.core_share, True: 1 - problem.core_share}
    if len(set(edge.values())) == 1:
        shares = {False: 1.0, True: 1.0}
    earned = unassessed = 0.0
    for kind, share in shares.items():
        members = [claim for claim in claims if edge[claim] is kind]
        if members:
            earned += share * sum(held[claim] for claim in members) / len(members)
            unassessed += share * sum(absent[claim] for claim in members) / len(members)
    return (0.0 if idle else min(earned, 1.0)), min(unassessed, 1.0)


def _is_absent(results: Collection[Result]) -> bool:
    """Whether a claim could not be assessed: for some case there is nothing to look at, and none speaks against it."""
    return Result.ABSENT in results and all(result in (Result.ABSENT, Result.PASS) for result in results)
