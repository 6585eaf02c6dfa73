"""The report's contract: one schema, one document, and no report outside of it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from grader.performance.statistics import Verdict
from grader.report.manual_scores import ManualScore, with_scores
from grader.report.schema import load_schema, schema_version
from grader.rules.from_scratch import Effect, Evidence
from grader.scoring.outcome import Result, Tier
from grader.scoring.points import Status
from grader.scoring.races import RaceResult
from grader.scoring.rubric import ProblemKind
from grader.selftest.golden import load_cases
from grader.selftest.report_contract import DOCUMENT, check, checked, document
from grader.wall.isolation import FileAccess, Level

SCHEMA = load_schema()
GOLDEN = {case.name: checked(case.stored()["report.json"]) for case in load_cases()}


def objects(schema: Any = SCHEMA) -> Iterator[dict[str, Any]]:
    """Every object in the schema that has fields."""
    if isinstance(schema, dict):
        if "properties" in schema and "title" in schema:
            yield schema
        for part in schema.values():
            yield from objects(part)


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)
    assert schema_version() == 1
    for found in objects():
        assert found["additionalProperties"] is False
        for field, what in found["properties"].items():
            assert what["description"].endswith("."), field


def test_the_document_is_that_of_the_schema():
    """Otherwise: `python -m grader.selftest.report_contract --write`."""
    assert DOCUMENT.read_text("utf-8") == document()


def test_closed_sets_are_those_of_the_code():
    def values(part: str, field: str) -> set[str]:
        return set(SCHEMA["$defs"][part]["properties"][field]["enum"])

    assert values("test", "outcome") == set(Result)
    assert values("test", "kind") == set(Tier)
    assert values("problem", "status") == values("tested", "status") == set(Status)
    assert values("problem", "kind") == set(ProblemKind)
    assert values("finding", "kind") == set(Evidence)
    assert values("finding", "effect") == set(Effect)
    assert values("isolation", "level") == set(Level)
    assert values("isolation", "files") == set(FileAccess)
    assert values("race", "verdict") == {"", *Verdict}
    assert set(SCHEMA["$defs"]["race"]["properties"]) == {
        "machine",
        *(field.name for field in dataclasses.fields(RaceResult)),
    }


def _without(report: dict[str, Any]) -> None:
    del report["problems"][0]["status"]


def _misspelt(report: dict[str, Any]) -> None:
    report["problems"][0]["tests"][0]["mesage"] = ""


def _another_word(report: dict[str, Any]) -> None:
    report["problems"][0]["tests"][0]["outcome"] = "passed"


def _another_version(report: dict[str, Any]) -> None:
    report["schema_version"] = 2


def _another_type(report: dict[str, Any]) -> None:
    report["seed"] = "7"


@pytest.mark.parametrize("spoil", [_without, _misspelt, _another_word, _another_version, _another_type])
def test_what_breaks_the_contract_is_found(spoil):
    report = copy.deepcopy(GOLDEN["right"])
    check(report)
    spoil(report)
    with pytest.raises(AssertionError, match=r"1 faults against grader/report/schema\.json"):
        check(report)


def test_scores_by_hand_keep_the_contract():
    scores = {"experiment_log": ManualScore(2.5, "Careful."), "unicode1": ManualScore(None, "See me.")}
    graded = with_scores(GOLDEN["right"], scores)
    check(graded)
    assert {problem["id"] for problem in graded["problems"] if "manual" in problem} == set(scores)


def test_no_number_that_is_none():
    with pytest.raises(AssertionError, match="NaN is no JSON"):
        checked('{"seed": NaN}')
