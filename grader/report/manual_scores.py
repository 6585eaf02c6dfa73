"""Scores that a person gives: from a TOML file into a report's JSON form. Pure, but for reading the file.

    [experiment_log]
    score = 2.5
    comment = "Careful, but for the runs that failed."

A score replaces what the tests gave; their own result stays in the report, beside it.
"""

from __future__ import annotations

import copy
import json
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..escape import visible
from ..scoring.points import Status
from ..scoring.rubric import did_you_mean
from .model import BY_HAND
from .schema import schema_version

_COMMENT_LIMIT = 20_000
_WIDTH = 110


@dataclass(frozen=True)
class ManualScore:
    """What a person says about one problem; without points when only commented on."""

    score: float | None
    comment: str


def read_report(path: Path) -> dict[str, Any]:
    """A report that `python -m grader ... --json` wrote.

    Raises:
        Refused: when it is none.
    """
    try:
        report = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise Refused(
            f"{path} is not a report: {str(error)[:200]}. `python -m grader ... --json` writes one."
        ) from error
    version = schema_version()
    if not isinstance(report, dict) or report.get("schema_version") != version:
        raise Refused(f"{path} is not a report of schema version {version}; `python -m grader ... --json` writes one.")
    problems = report.get("problems")
    if not isinstance(problems, list) or not all(_is_problem(problem) for problem in problems):
        raise Refused(f"{path} is damaged: its problems are not as the grader writes them.")
    return report


def _is_problem(problem: Any) -> bool:
    numbers = ("points", "earned", "unassessed")
    return (
        isinstance(problem, dict)
        and isinstance(problem.get("id"), str)
        and all(type(problem.get(key)) in (int, float) and math.isfinite(problem[key]) for key in numbers)
        and isinstance(problem.get("for_staff"), list)
    )


def read_scores(path: Path, report: Mapping[str, Any]) -> dict[str, ManualScore]:
    """The scores in a TOML file, for the problems of a report.

    Raises:
        Refused: for an unknown problem or key, a score out of range, and whatever is no TOML.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is not UTF-8 text.") from error
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path} is not valid TOML: {str(error)[:200]}.") from error
    points = {problem["id"]: problem["points"] for problem in report["problems"]}
    scores = {}
    for problem, table in tables.items():
        if problem not in points:
            raise Refused(f"{path}: the report has no problem {problem!r}.{did_you_mean(problem, points)}")
        if given := _manual_score(table, points[problem], f"{path}, [{problem}]"):
            scores[problem] = given
    return scores


def _manual_score(table: Any, points: float, where: str) -> ManualScore | None:
    """A problem's table; None when nothing is entered yet."""
    if not isinstance(table, dict):
        raise Refused(f"{where} must be a table with score and comment.")
    for key in table:
        if key not in ("score", "comment"):
            raise Refused(f"{where}: unknown key {key!r}.{did_you_mean(key, ('score', 'comment'))}")
    score, comment = table.get("score", ""), table.get("comment", "")
    if not isinstance(comment, str) or len(comment) > _COMMENT_LIMIT:
        raise Refused(f"{where}: comment must be text of at most {_COMMENT_LIMIT:,} characters.")
    if score == "" and isinstance(score, str):
        return ManualScore(None, comment) if comment else None
    if type(score) not in (int, float) or not 0 <= score <= points:
        raise Refused(f"{where}: score is {score!r}; it must be a number from 0 to {points:g}.")
    return ManualScore(float(score), comment)


def with_scores(report: Mapping[str, Any], scores: Mapping[str, ManualScore]) -> dict[str, Any]:
    """The report with these scores in it, and totals that include them."""
    result = copy.deepcopy(dict(report))
    for problem in result["problems"]:
        given = scores.get(problem["id"])
        if given is None:
            continue
        tested = problem.get("manual", {}).get("tested") or {
            **{key: problem[key] for key in ("earned", "unassessed", "status", "note")},
            "remark": problem.get("remark", ""),  # which an older report lacks
        }
        problem["manual"] = {**asdict(given), "tested": tested}
        if given.score is None:
            problem |= tested
        else:
            problem |= {"earned": given.score, "unassessed": 0.0, "note": BY_HAND, "remark": BY_HAND}
            problem["status"] = str(_status(given.score, problem["points"]))
    problems, extensions = result["problems"], result.get("extensions", {})
    result["score"] = _total(problem for problem in problems if problem.get("section") not in extensions)
    for section in extensions:
        extensions[section] = _total(problem for problem in problems if problem["section"] == section)
    return result


def _total(problems: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The points of some problems together."""
    earned = assessed = total = 0.0
    for problem in problems:
        earned += problem["earned"]
        assessed += problem["points"] - problem["unassessed"]
        total += problem["points"]
    return {"earned": round(earned, 2), "assessed": round(assessed, 2), "total": total}


def _status(score: float, points: float) -> Status:
    if score >= points:
        return Status.PASS
    return Status.PARTIAL if score > 0 else Status.FAIL


def template(report: Mapping[str, Any]) -> str:
    """A file to enter scores in: what a person has to grade or to read, with the answers as comments."""
    lines = [
        "# Scores and comments by hand. An empty score leaves the problem as the tests have it.",
        "# Then: python -m grader manual REPORT.json THIS_FILE --json GRADED.json",
    ]
    for problem in report["problems"]:
        if problem["for_staff"] or problem.get("kind") == "manual":
            lines += ["", *_entry(problem)]
    return "\n".join(lines) + "\n"


def _entry(problem: Mapping[str, Any]) -> Iterator[str]:
    title, points = visible(str(problem.get("title", ""))), problem["points"]
    yield f"[{problem['id']}]"
    assessed = points - problem["unassessed"]
    tested = f"the tests gave {problem['earned']:g} of {assessed:g}" if assessed else "no points from the tests"
    yield f"# {title}, worth {points:g}; {tested}."
    for test in problem.get("tests", []):
        if problem.get("kind") == "manual":
            yield from _commented(f"{test['outcome']}: {test['title']} {test['message']}")
    for written in problem["for_staff"]:
        yield from _commented(str(written.get("question", "")))
        yield from (
            f"#   {line.removeprefix('#').removeprefix(' ')}".rstrip()
            for line in _commented(str(written.get("answer", "")))
        )
    given = problem.get("manual", {})
    score = given.get("score")
    yield f"score = {json.dumps('' if score is None else score)}"
    yield f"comment = {json.dumps(given.get('comment', ''), ensure_ascii=True)}"


def _commented(text: str) -> Iterable[str]:
    """A text as lines of a TOML comment, none of which can end it."""
    import textwrap

    for line in visible(text).split("\n"):
        yield from (f"# {part}".rstrip() for part in textwrap.wrap(line, _WIDTH) or [""])
