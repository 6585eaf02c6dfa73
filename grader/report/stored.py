"""A report as it was, from its JSON form: for whoever shows it later, as with scores that a person gave since.

What the JSON form does not have is not needed to show a report: stored traces of known bugs, limits and the like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..diagnosis.known_bugs import KnownBug
from ..rules.from_scratch import Effect, Evidence, Finding
from ..rules.integrity import Suspicion
from ..scoring.outcome import Clue, Difference, Outcome, PlannedTest, Result, Tier, Written
from ..scoring.points import Score, Status
from ..scoring.races import RaceResult, Speed
from ..scoring.rubric import Problem, ProblemKind, Rubric
from .model import ProblemReport, Report, TestReport


def report_from_json(report: Mapping[str, Any], rubric: Rubric, folder: str = "") -> Report:
    """The report whose JSON form this is; `as_json` of what comes out is the same again.

    Args:
        rubric: says what problems build on, and what sections are called.
        folder: as in `Report`.

    Raises:
        KeyError, ValueError, TypeError: it is not the JSON form of a report of this version.
    """
    speed = _speed(report["performance"])
    known = {problem.id: problem for problem in rubric.problems}

    def problems(tables: Sequence[Mapping[str, Any]]) -> tuple[ProblemReport, ...]:
        return tuple(_problem(table, known, speed) for table in tables)

    return Report(
        submission=report["submission"],
        sections={problem["section"]: problem["section"] for problem in report["problems"]} | rubric.sections,
        problems=problems(report["problems"]),
        seed=report["seed"],
        isolation=report["isolation"],
        environment=report["environment"],
        suspicions=tuple(
            Suspicion(**{key: found[key] for key in ("kind", "problem", "where", "evidence")})
            for found in report["integrity"]["findings"]
        ),
        load_fault=report["load_fault"],
        base_sections=rubric.base_sections,
        speed=speed,
        own_adapters=tuple(report["own_adapters"]),
        looked_at=problems(report["looked_at"]),
        folder=folder,
    )


def _speed(races: Sequence[Mapping[str, Any]]) -> Speed:
    results = [RaceResult.from_plain({key: race[key] for key in race if key != "machine"}) for race in races]
    return Speed(tuple(results), machine=races[0]["machine"] if races else {})


def _problem(table: Mapping[str, Any], known: Mapping[str, Problem], speed: Speed) -> ProblemReport:
    kind = ProblemKind(table["kind"])
    told = {"title": table["title"], "section": table["section"], "kind": kind, "points": table["points"]}
    id = table["id"]
    return ProblemReport(
        problem=replace(known[id], **told) if id in known else Problem(id, **told),
        score=Score(table["earned"], Status(table["status"]), table["unassessed"]),
        tests=tuple(_test(test, id) for test in table["tests"]),
        blocked_by=tuple(table["blocked_by"]),
        policy=tuple(
            Finding(**{**found, "kind": Evidence(found["kind"]), "effect": Effect(found["effect"])})
            for found in table["policy"]
        ),
        note=table["note"],
        for_staff=tuple(Written(**written) for written in table["for_staff"]),
        races=speed.of(id),
        begun=table["begun"],
        manual=table.get("manual"),
    )


def _test(table: Mapping[str, Any], problem: str) -> TestReport:
    id, bug, clue = table["id"], table["misconception"], table["clue"]
    plan = PlannedTest(
        id, problem, id.partition("[")[0], table["title"], Tier(table["kind"]), table["judges_values"],
        own_adapter=not table["charged"], fresh=id.endswith("-fresh]"), asked=table["asked"],
    )  # fmt: skip
    difference = Difference(table["expected"], table["got"], table["where"]) if table["where"] is not None else None
    return TestReport(
        plan,
        Outcome(id, Result(table["outcome"]), table["message"], table["detail"], table["seconds"], difference),
        KnownBug(bug["id"], problem, bug["diagnosis"], bug["hint"], "", {}) if bug else None,
        table["carried_forward"],
        table["charged"],
        Clue.from_plain(clue) if clue else None,
    )
