"""What is known of one submission's grade: a small file beside its report.

`OUT/reports/<id>/state.json` is written last, so it says that the report is whole. It holds what tables and pages of a
class need of a report, so that nobody has to read hundreds of reports for them. Pure, but for reading and writing that
file.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..report.output import write_json
from ..scoring.outcome import Result, Tier

STATE, REPORT, PAGE = "state.json", "report.json", "report.html"
_VERSION = 1


class GradeState(enum.StrEnum):
    """What came of a submission."""

    GRADED = "graded"
    REFUSED = "refused"
    """It cannot be graded as it is: no adapters, a damaged archive, or more isolation asked for than there is."""
    LATE = "late"
    """It took longer than a submission may."""
    FAILED = "failed"
    """The grader, or the machine, is at fault: killed, out of memory, a full disk."""
    MISSING = "missing"
    """Nothing was handed in."""


@dataclass(frozen=True)
class Grade:
    """What came of one submission.

    message: why there is no report, or ""; asked: what was graded and how, as a digest (`batch.digest`);
    summary: what `summary_of` takes from the report, or None.
    """

    state: GradeState
    message: str = ""
    asked: str = ""
    seconds: float = 0.0
    summary: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def is_final(self) -> bool:
        """Whether another try would find the same: only a grade is; all else may be mended from outside."""
        return self.state is GradeState.GRADED


def read_grade(folder: Path) -> Grade | None:
    """What is known of the submission whose reports lie in a folder; None where nothing is."""
    try:
        table = json.loads((folder / STATE).read_text("utf-8"))
        if table.pop("version") != _VERSION:
            return None
        return Grade(**{**table, "state": GradeState(table["state"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None  # half of a file, or one of another version: as if it had never been


def write_grade(grade: Grade, folder: Path) -> None:
    """Write it; whoever reads the file meanwhile finds the old one or the new one.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    write_json({"version": _VERSION, **asdict(grade)}, folder / STATE)


def forget(folder: Path) -> None:
    """Remove what an earlier grade left, the state first: without it, there is no report."""
    for name in (STATE, REPORT, PAGE):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder / name)


def summary_of(report: Mapping[str, Any], outdated: Sequence[str] = ()) -> dict[str, Any]:
    """What a class' tables and pages need of one report's JSON form: points, claims, bugs, findings.

    Args:
        outdated: problems that a person scored by an answer that is another one now.
    """
    return {
        "submission": report["submission"],
        "seed": report["seed"],
        "level": report["isolation"]["level"],
        "score": report["score"],
        "extensions": report["extensions"],
        "problems": {problem["id"]: _problem(problem) for problem in report["problems"]},
        "suspicions": [
            {key: finding[key] for key in ("kind", "problem", "where", "title", "evidence")}
            for finding in report["integrity"]["findings"]
        ],
        "load_fault": report["load_fault"],
        "seconds": report["environment"]["seconds"],
        "looks": [*looks(report), *([f"to score anew, the answer changed: {', '.join(outdated)}"] if outdated else [])],
    }


def _problem(problem: Mapping[str, Any]) -> dict[str, Any]:
    bugs: dict[str, str] = {}
    for test in problem["tests"]:
        if test["misconception"] and not test["carried_forward"]:
            bugs.setdefault(test["misconception"]["id"], test["misconception"]["diagnosis"])
    return {
        **{key: problem[key] for key in ("points", "earned", "unassessed", "status", "blocked_by")},
        "claims": claims_of(problem),
        "bugs": bugs,
        "policy": [
            {key: finding[key] for key in ("rule", "where", "evidence", "effect")} for finding in problem["policy"]
        ],
        "seconds": round(sum(test["seconds"] for test in problem["tests"]), 2),
    }


def claim_of(test: Mapping[str, Any]) -> str:
    """The test function that a test's id belongs to."""
    return str(test["id"]).partition("[")[0]


def claim_titles(out: Path) -> dict[str, str]:
    """{claim: what should hold}, from the few reports of a batch that are needed to know them all."""
    titles: dict[str, str] = {}
    for path in sorted(out.glob(f"reports/*/{STATE}")):
        grade = read_grade(path.parent)
        if grade is None or grade.summary is None:
            continue
        claims = {claim for problem in grade.summary["problems"].values() for claim in problem["claims"]}
        if claims <= titles.keys():
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # a title less is no reason to fail
            report = json.loads((path.parent / REPORT).read_text("utf-8"))
            titles |= {claim_of(test): test["title"] for problem in report["problems"] for test in problem["tests"]}
    return titles


def claims_of(problem: Mapping[str, Any]) -> dict[str, str]:
    """{claim: what came of it}: "pass" if all of its cases did that could be looked at, else the first that did not."""
    claims: dict[str, str] = {}
    for test in problem["tests"]:
        if not test["charged"] or test["kind"] == Tier.ADVICE:
            continue
        before, now = claims.get(claim_of(test)), test["outcome"]
        if before is None or before == Result.ABSENT or (before == Result.PASS and now != Result.ABSENT):
            claims[claim_of(test)] = now
    return claims


def looks(report: Mapping[str, Any]) -> Iterator[str]:
    """What a person should look at in a report: sentences, the gravest first."""
    if report["load_fault"]:
        yield "nothing of it could run"
    if findings := report["integrity"]["findings"]:
        kinds = ", ".join(dict.fromkeys(finding["title"] for finding in findings))
        yield f"integrity: {kinds}"
    effects = {finding["effect"] for problem in report["problems"] for finding in problem["policy"]}
    if "zero" in effects:
        yield "ready-made code cost points"
    elif "warn" in effects:
        yield "ready-made code to judge"
    unread = [problem["id"] for problem in report["problems"] if problem["for_staff"] and "manual" not in problem]
    if unread:
        yield f"to read: {', '.join(unread)}"
    outcomes = {test["outcome"] for problem in report["problems"] for test in problem["tests"]}
    if Result.NOT_RUN in outcomes:
        yield "some tests did not run"
