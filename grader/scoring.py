"""From outcomes to points. Pure: no clock, no file, no torch.

A *claim* is one test function, for all of its cases. It earns its share of the problem's points when every one of its
cases passes, and nothing otherwise: a claim that holds for one input and fails for another does not hold. Core claims
share `core_share` of the points evenly, edge claims the rest.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from .outcome import Outcome, PlannedTest, Result
from .rubric import Problem


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
    """Points earned in one problem."""

    earned: float
    status: Status


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
        knows_kit: whether the submission offers any of the kit's own adapters. One in the public assignment's layout
            does not, and is not charged for tests that need them.
    """
    if not tests:
        return Score(0.0, Status.NOT_ASSESSED)
    if not knows_kit:
        tests = [(test, o) for test, o in tests if not (test.own_adapter and o.result is Result.SKIP)]
    tests = [(test, replace(o, result=Result.PASS) if o.id in carried else o) for test, o in tests]
    results = [outcome.result for _, outcome in tests]
    if not results or all(result is Result.SKIP for result in results):
        return Score(0.0, Status.NOT_PROVIDED)
    if all(result in (Result.TODO, Result.SKIP) for result in results):
        return Score(0.0, Status.TODO)
    earned = round(problem.points * _fraction(problem, tests), 2)
    if all(result is Result.PASS for result in results):
        return Score(float(problem.points), Status.PASS)
    if all(result is Result.ERROR for result in results):
        return Score(0.0, Status.ERROR)
    return Score(earned, Status.PARTIAL if earned > 0 else Status.FAIL)


def withheld(score: Score) -> Score:
    """What is left of a score when ready-made code did the work: nothing, where there was something to lose."""
    return Score(0.0, Status.FAIL) if score.status in (Status.PASS, Status.PARTIAL, Status.FAIL) else score


def _fraction(problem: Problem, tests: Iterable[tuple[PlannedTest, Outcome]]) -> float:
    """The share of a problem's points that its claims earn, between 0 and 1."""
    claims: dict[str, list[tuple[PlannedTest, Outcome]]] = {}
    for test, outcome in tests:
        claims.setdefault(test.claim, []).append((test, outcome))
    held = {claim: all(o.result is Result.PASS for _, o in members) for claim, members in claims.items()}
    edge = {claim: members[0][0].edge for claim, members in claims.items()}
    judging = [claim for claim, members in claims.items() if members[0][0].judges_values and not edge[claim]]
    if judging and not any(held[claim] for claim in judging):
        return 0.0  # properties such as "keeps the dtype" hold for many wrong answers, so alone they earn nothing
    shares = {False: problem.core_share, True: 1 - problem.core_share}
    if len(set(edge.values())) == 1:
        shares = {False: 1.0, True: 1.0}
    total = 0.0
    for kind, share in shares.items():
        members = [claim for claim in claims if edge[claim] is kind]
        total += share * sum(held[claim] for claim in members) / len(members) if members else 0.0
    return min(total, 1.0)
