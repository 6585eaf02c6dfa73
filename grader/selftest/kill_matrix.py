"""Does every known bug fail its problem's tests, and every honest variant pass them?

    python -m grader.selftest.kill_matrix [--problem ID ...]

Runs in one process, on stored cases, with each variant planted into the reference in turn.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from grader.in_process import InProcess
from grader.misconceptions.catalogue import Misconception, Variant, load_catalogue
from grader.testing import SUBMISSION

KIT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Verdict:
    """What the tests of one problem said about a variant: ids of the tests that failed, and how many passed."""

    failed: tuple[str, ...]
    passed: int


class _Collector:
    """A pytest plugin that puts a submission under test and writes down what happens."""

    def __init__(self, submission: InProcess) -> None:
        self.submission = submission
        self.failed: list[str] = []
        self.passed = 0

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[SUBMISSION] = self.submission

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or (report.skipped and report.when == "call"):
            self.failed.append(report.nodeid.rpartition("/")[2])
        elif report.when == "call":
            self.passed += 1


def examine(variant: Variant, problem: str) -> Verdict:
    """Run the tests of `problem` with `variant` planted into the reference."""
    with variant.planted():
        submission: Any = InProcess(importlib.import_module("grader.reference.adapters"))
        collector = _Collector(submission)
        options = ["-c", str(KIT / "pyproject.toml"), "--rootdir", str(KIT)]
        pytest.main(
            [*options, "-p", "no:terminal", "-p", "no:cacheprovider", str(KIT / "tests" / f"test_{problem}.py")],
            plugins=[collector],
        )
    return Verdict(tuple(collector.failed), collector.passed)


def honest_variants(problem: str) -> tuple[Variant, ...]:
    """Correct implementations of one problem, written differently."""
    try:
        return importlib.import_module(f"grader.selftest.honest.{problem}").VARIANTS
    except ModuleNotFoundError:
        return ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what survives and what is wrongly failed; exit code 1 when there is any."""
    parser = argparse.ArgumentParser("python -m grader.selftest.kill_matrix", description=__doc__)
    parser.add_argument("--problem", nargs="+", default=None, help="only these problems")
    parser.add_argument("--verbose", action="store_true", help="name the tests that kill each misconception")
    options = parser.parse_args(arguments)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    problems = options.problem or sorted({m.problem for m in load_catalogue()})
    wrong = 0
    for problem in problems:
        for variant in tqdm([*load_catalogue(problem), *honest_variants(problem)], desc=problem, leave=False):
            verdict = examine(variant, problem)
            if isinstance(variant, Misconception):
                complaint = "" if verdict.failed else "SURVIVES"
            else:
                complaint = f"HONEST BUT FAILED {verdict.failed}" if verdict.failed or not verdict.passed else ""
            if complaint or options.verbose:
                tqdm.write(f"{problem:30} {variant.id:45} {complaint or ' '.join(verdict.failed) or 'passes'}")
            wrong += bool(complaint)
    print(f"{wrong} variants are judged wrongly")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
