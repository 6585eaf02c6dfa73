"""Gradescope's results.json: https://gradescope-autograders.readthedocs.io/en/latest/specs/ ("Output format"). Pure.

One test for each problem. Text is marked as text, so that nothing in it is taken for markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...escape import visible
from ...scoring.points import Status
from ...scoring.rubric import Visibility
from .account import Account, accounts


def as_gradescope(report: Mapping[str, Any], visibility: Mapping[str, Visibility] | None = None) -> dict[str, Any]:
    """The report as Gradescope reads it.

    Args:
        visibility: {problem: when students see its result}; problems that are not in it are visible.
    """
    score = report["score"]
    said = [f"{score['earned']:g} of {score['assessed']:g} assessed points."]
    if score["total"] != score["assessed"]:
        said.append(f"{score['total'] - score['assessed']:g} more are not assessed here.")
    if report["load_fault"]:
        said.append("Nothing could run:\n" + visible(report["load_fault"]))
    return {
        "score": score["earned"],
        "execution_time": round(report["environment"]["seconds"]),
        "output": " ".join(said),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": [_test(number, one, visibility or {}) for number, one in enumerate(accounts(report), start=1)],
        "leaderboard": [
            {"name": f"{race['problem']}, {race['tensors']}", "value": round(race["ratio"], 3), "order": "asc"}
            for race in report["performance"]
            if race["status"] == "measured"
        ],
        "extra_data": {"seed": report["seed"], "isolation": report["isolation"]["level"]},
    }


def _test(number: int, one: Account, visibility: Mapping[str, Visibility]) -> dict[str, Any]:
    test: dict[str, Any] = {
        "name": f"{one.id}: {one.title}",
        "name_format": "text",
        "number": str(number),
        "score": one.earned,
        "max_score": one.assessed,
        "output": one.text(),
        "output_format": "text",
        "tags": [one.section],
        "visibility": str(visibility.get(one.id, Visibility.VISIBLE)),
    }
    if one.status is not Status.NOT_ASSESSED:
        test["status"] = "passed" if one.passed else "failed"
    return test
