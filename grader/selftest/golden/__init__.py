"""Golden reports: what a grade says, word for word, in files that a person can read and compare.

A case is a folder: `case.toml` (what it shows, and the problems to grade), `submission/`, and what the grader said of
it, `report.json` and `report.txt`. A change of wording is then a diff that a reviewer reads, and a change that nobody
meant is a failing test (`selftest/test_golden.py`).

    python -m grader.selftest.golden              show what has changed
    python -m grader.selftest.golden --write      write the reports anew
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ...grading import grade
from ...kit.paths import KIT
from ...report.model import ProblemReport, Report
from ...report.terminal import show
from ...rules.integrity import Suspicion
from ...scoring.outcome import Difference, Outcome
from ...scoring.rubric import load_rubric
from ..forked import ForkedExaminer

HERE = Path(__file__).resolve().parent
SEED = 7
WIDTH = 100
_NAME = "solution"
_LONG_NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?:e[+-]?\d+)?(?![\w.]*\d)")


@dataclass(frozen=True)
class GoldenCase:
    """One folder with a submission and its reports."""

    name: str
    shows: str
    problems: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return HERE / self.name

    def stored(self) -> dict[str, str]:
        """{file name: text} of the reports as they are stored; nothing where there are none."""
        files = {name: self.folder / name for name in ("report.json", "report.txt")}
        return {name: file.read_text("utf-8") for name, file in files.items() if file.exists()}


def load_cases() -> list[GoldenCase]:
    """All cases, by name."""
    tables = {path.parent.name: tomllib.loads(path.read_text("utf-8")) for path in sorted(HERE.glob("*/case.toml"))}
    return [GoldenCase(name, table["shows"], tuple(table["problems"])) for name, table in tables.items()]


def graded(case: GoldenCase) -> Report:
    """Grade the case's submission, in a copy of its own; what is not the same each time is masked."""
    rubric = load_rubric()
    with tempfile.TemporaryDirectory() as folder:
        submission = Path(folder, _NAME)
        shutil.copytree(case.folder / "submission", submission, ignore=shutil.ignore_patterns("__pycache__"))
        report = grade(
            str(submission),
            rubric,
            rubric.select(case.problems),
            seed=SEED,
            isolation="process",  # works on every machine
            jobs=1,
            gpu=False,
            launch=ForkedExaminer,
        )
    return masked(report)


def rendered(report: Report) -> dict[str, str]:
    """{file name: text} of a report, as JSON and as a terminal of fixed width shows it."""
    shown = io.StringIO()
    show(report, Console(file=shown, width=WIDTH, color_system=None, legacy_windows=False))
    lines = [line.rstrip() for line in shown.getvalue().splitlines()]
    return {
        "report.json": json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n",
        "report.txt": "\n".join(lines) + "\n",
    }


def masked(report: Report) -> Report:
    """The report less what differs from run to run and from machine to machine. This is all that may differ:

    - where the submission and the kit lie;
    - seconds, of the whole and of each test;
    - Python, platform, number of CPUs and versions of packages;
    - what the level of isolation cannot do here, which depends on the kernel and on who runs the grader;
    - digits of a number beyond the fourth, which depend on the processor.
    """
    places = {report.folder: _NAME, str(KIT): "KIT"}
    return replace(
        report,
        submission=_NAME,
        folder=_NAME,
        environment={
            **report.environment,
            "seconds": 0.0,
            "python": "*",
            "platform": "*",
            "cpus": 0,
            "packages": dict.fromkeys(report.environment["packages"], "*"),
        },
        problems=tuple(_masked_problem(problem, places) for problem in report.problems),
        isolation={**report.isolation, "missing": []},
        looked_at=tuple(_masked_problem(problem, places) for problem in report.looked_at),
        suspicions=tuple(_masked_suspicion(suspicion, places) for suspicion in report.suspicions),
    )


def _masked_problem(problem: ProblemReport, places: Mapping[str, str]) -> ProblemReport:
    tests = tuple(replace(test, outcome=_masked_outcome(test.outcome, places)) for test in problem.tests)
    return replace(problem, tests=tests)


def _masked_outcome(outcome: Outcome, places: Mapping[str, str]) -> Outcome:
    message, detail = (_rounded(_moved(text, places)) for text in (outcome.message, outcome.detail))
    difference = outcome.difference and Difference(**_rounded(asdict(outcome.difference)))
    return replace(outcome, seconds=0.0, message=message, detail=detail, difference=difference)


def _masked_suspicion(suspicion: Suspicion, places: Mapping[str, str]) -> Suspicion:
    return replace(suspicion, evidence=_moved(suspicion.evidence, places))


def _moved(text: str, places: Mapping[str, str]) -> str:
    for place, name in places.items():
        text = text.replace(place, name)
    return text


def _rounded(value: Any) -> Any:
    """A text, or plain data, with four significant digits of each number in it."""
    match value:
        case str():
            return _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.4g}", value)
        case float():
            return float(f"{value:.4g}")
        case list():
            return [_rounded(item) for item in value]
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
    return value
