"""Classroom 50's result.json, `classroom50/result/v1`. Pure.

https://github.com/foundation50/classroom50: schemas/result-v1.schema.json, and the wiki's page Advanced-Autograding.
Who handed in what comes from the runner's environment, and scores are integers. So points are counted in hundredths,
and every test's name says so. The runner itself puts in whose repository it is, of what kind the assignment is, and
when the commit was made, over whatever stands there.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from ...errors import Refused
from .account import accounts

SCALE = 100
_NEEDED = {
    "classroom": "CLASSROOM", "assignment": "ASSIGNMENT", "submission": "SUBMISSION_TAG", "commit": "COMMIT_URL",
    "release": "RELEASE_URL",
}  # fmt: skip
_GIVEN = {"assignment_type": "MODE", "owner": "USERNAME"}


def as_classroom50(report: Mapping[str, Any], environment: Mapping[str, str], now: datetime.datetime) -> dict[str, Any]:
    """The result of a submission: the problems of the assignment's total, one test each.

    Args:
        environment: the variables that Classroom 50's runner sets.
        now: when it was graded, with a time zone.

    Raises:
        Refused: a variable is missing.
    """
    if missing := [name for name in _NEEDED.values() if not environment.get(name)]:
        raise Refused(
            f"--classroom50 is for Classroom 50's runner, which sets {', '.join(missing)}; here they are not set."
        )
    tests = [
        {
            "test-name": f"{one.id} (hundredths of a point)",
            "passed": one.passed,
            "score": round(SCALE * one.earned),
            "max-score": round(SCALE * one.assessed),
            "output": one.text(),
        }
        for one in accounts(report, extensions=False)
        if one.assessed
    ]
    moment = now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "schema": "classroom50/result/v1",
        **{key: environment[name] for key, name in _NEEDED.items()},
        **{key: environment[name] for key, name in _GIVEN.items() if environment.get(name)},
        "review": environment.get("REVIEW_URL") or environment["COMMIT_URL"],
        "datetime": moment,
        "score": sum(test["score"] for test in tests),
        "max-score": sum(test["max-score"] for test in tests),
        "tests": tests,
    }
