"""What does a training loop keep that is right itself, but made of a wrong part? Bugs cost once, where they are.

    python -m grader.selftest.impaired_loops [--problem ID ...] [--bug ID ...]

Plants every misconception of what a training loop builds on into the reference, whose loop is right, and grades that
loop as a submission, against the reference without it. Prints what each leaves of the loop's points; a quarter of a
minute each. The kit's own tests look at some of them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from grader.cases.generators import reference_oracle
from grader.diagnosis.own_parts import parts_of
from grader.examination.judging import plan
from grader.examination.pytest_plugin import ORACLE, PYTEST_OPTIONS, SUBMISSION, draw_no_tracebacks
from grader.kit.paths import TESTS
from grader.misconceptions.catalogue import Variant, load_catalogue
from grader.scoring.outcome import Outcome, PlannedTest, Result
from grader.scoring.points import score_problem
from grader.scoring.rubric import load_rubric
from grader.submission.in_process import InProcess
from grader.trials.evidence import in_processes

LOOP = "training_together"
KEPT = 0.75
"""Least share of the loop's points that is left, whatever one part of it is like."""


WITHOUT_LOOP = frozenset({"data-loading-shuffles-the-dataset"})
"""What no loop can be made of at all: it writes into the file of the training data."""


class Impaired(InProcess):
    """The reference as a submission, in which something is replaced while its calls run, and only then."""

    def __init__(self, variant: Variant) -> None:
        super().__init__(importlib.import_module("grader.trials.planted"))
        self._variant = variant

    def _perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        with self._variant.planted():
            return super()._perform(operation, arguments)


class _Examination:
    """A pytest plugin that keeps what the tests say."""

    def __init__(self, submission: InProcess) -> None:
        self.submission = submission
        self.tests: dict[str, PlannedTest] = {}
        self.outcomes: dict[str, Outcome] = {}

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[SUBMISSION] = self.submission
        config.stash[ORACLE] = reference_oracle()
        draw_no_tracebacks(config)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.tests = {test.id: test for test in map(plan, items)}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.removeprefix("tests/")
        if report.failed:
            self.outcomes[name] = Outcome(name, Result.FAIL, str(report.longrepr)[-300:])
        elif report.when == "call":
            self.outcomes.setdefault(name, Outcome(name, Result.PASS))


def grade(variant: Variant, tests: Sequence[str] = ()) -> tuple[float, dict[str, str]]:
    """What the loop keeps of its points, between 0 and 1, and {failed test: why}; of these tests only, if any."""
    examination = _Examination(Impaired(variant))
    file = str(TESTS / f"test_{LOOP}.py")
    chosen = [f"{file}::{test}" for test in tests] or [file]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pytest.main([*PYTEST_OPTIONS, *chosen], plugins=[examination])
    problem = load_rubric()[LOOP]
    pairs = [(test, examination.outcomes[name]) for name, test in examination.tests.items()]
    failed = {outcome.id: outcome.message for _, outcome in pairs if outcome.result is not Result.PASS}
    return score_problem(problem, pairs).earned / problem.points, failed


def bugs_below() -> list[tuple[str, int]]:
    """(problem, place in its catalogue) of every misconception that a loop can be made of."""
    return [(problem, i) for problem in parts_of(LOOP) for i in range(len(load_catalogue(problem)))]


def _grade(problem: str, index: int) -> tuple[float, dict[str, str]]:
    return grade(load_catalogue(problem)[index])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the shares; exit code 1 when one is below what is promised."""
    parser = argparse.ArgumentParser("python -m grader.selftest.impaired_loops", description=__doc__)
    parser.add_argument("--problem", nargs="+", default=None, help="misconceptions of these problems only")
    parser.add_argument("--bug", nargs="+", default=None, help="these misconceptions only")
    parser.add_argument("--processes", type=int, default=None, help="side by side (default: one per processor)")
    options = parser.parse_args(arguments)
    jobs = [
        (problem, i)
        for problem, i in bugs_below()
        if (options.problem is None or problem in options.problem)
        and load_catalogue(problem)[i].id not in WITHOUT_LOOP
        and (options.bug is None or load_catalogue(problem)[i].id in options.bug)
    ]
    found = in_processes(_grade, jobs, "loops", options.processes)
    for (problem, i), (share, failed) in zip(jobs, found, strict=True):
        print(f"{share:.2f}  {load_catalogue(problem)[i].id}: {', '.join(failed) or 'nothing fails'}")
    too_low = sum(share < KEPT for share, _ in found)
    print(f"{len(found) - too_low} of {len(found)} loops keep {KEPT:.0%} of their points")
    return int(too_low > 0)


if __name__ == "__main__":
    sys.exit(main())
