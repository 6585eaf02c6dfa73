"""Scores by hand outlive a grade: they lie in a file of their own beside a submission's report.

A new grade writes the report anew. What a person gave for an answer that is still the same is then put into it; where
the answer has changed since, or is worth fewer points now, the score is not used, and somebody is told to read again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..report.manual_scores import ManualScore, with_scores
from ..report.output import write_json

SCORES = "scores_by_hand.json"


@dataclass(frozen=True)
class _Kept:
    """given: by a person; read: digest of what they read, where there was something to read."""

    given: ManualScore
    read: str


def keep_scores(folder: Path, scores: Mapping[str, ManualScore], report: Mapping[str, Any]) -> None:
    """Keep scores for the problems of a report, beside those that were kept before.

    Raises:
        OSError: the file cannot be written.
    """
    kept = _kept(folder)
    read = {problem["id"]: _digest(problem) for problem in report["problems"]}
    kept |= {problem: _Kept(given, read[problem]) for problem, given in scores.items()}
    write_json({problem: asdict(one) for problem, one in kept.items()}, folder / SCORES)


def with_kept_scores(report: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], list[str]]:
    """(a report in JSON form with the scores that were kept, problems whose scores are of another answer)."""
    kept = _kept(folder)
    problems = {problem["id"]: problem for problem in report["problems"] if problem["id"] in kept}
    still = {id: kept[id].given for id, problem in problems.items() if _holds(kept[id], problem)}
    return with_scores(report, still) if still else dict(report), [id for id in problems if id not in still]


def _holds(kept: _Kept, problem: Mapping[str, Any]) -> bool:
    return kept.read == _digest(problem) and (kept.given.score or 0.0) <= problem["points"]


def _digest(problem: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(problem["for_staff"], sort_keys=True).encode()).hexdigest()


def _kept(folder: Path) -> dict[str, _Kept]:
    """What is kept; nothing where the file is damaged or missing."""
    try:
        return dict(_read(json.loads((folder / SCORES).read_text("utf-8"))))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _read(tables: Mapping[str, Any]) -> Iterator[tuple[str, _Kept]]:
    for problem, table in tables.items():
        yield problem, _Kept(ManualScore(**table["given"]), str(table["read"]))
