"""Try a variant: run a problem's tests with it planted into the reference, and write down what happens."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..diagnosis.attribution import Attribution
from ..diagnosis.clues import Failure
from ..diagnosis.fingerprint import fingerprint_transcript
from ..examination.judging import case_of, outcome_of
from ..examination.pytest_plugin import PYTEST_OPTIONS, SUBMISSION, draw_no_tracebacks, problem_of
from ..kit.paths import TESTS
from ..misconceptions.catalogue import Variant
from ..submission.in_process import InProcess
from ..submission.interface import Submission


@dataclass(frozen=True)
class Trial:
    """What a problem's stored tests said about a variant.

    failed: {test id: the fingerprints of its calls}; passed: ids of the others; advice: ids of those that are worth
    nothing, which right code may fail.
    """

    failed: dict[str, list[list[Any]]]
    passed: tuple[str, ...]
    advice: frozenset[str] = frozenset()

    @property
    def charged(self) -> tuple[str, ...]:
        """Ids of the failed tests that cost points."""
        return tuple(test for test in self.failed if test not in self.advice)


def try_variant(
    variant: Variant, problem: str, *building_on: str, attribution: Attribution | None = None
) -> dict[str, Trial]:
    """Run the tests of some problems, on stored cases and in this process, with `variant` planted.

    Args:
        attribution: hears of every test, as in a grade.
    """
    recorder = _Recorder(InProcess(importlib.import_module(f"{__package__}.planted")), attribution=attribution)
    files = [*_tests_of(variant, problem), *(str(TESTS / f"test_{name}.py") for name in building_on)]
    with _quietly(variant):
        pytest.main([*PYTEST_OPTIONS, *files], plugins=[recorder])
    return {
        name: Trial(recorder.failed.get(name, {}), tuple(recorder.passed.get(name, ())), frozenset(recorder.advice))
        for name in (problem, *building_on)
    }


def first_failure(variant: Variant, problem: str, tests: Sequence[str] = ()) -> dict[str, list[list[Any]]]:
    """Run tests of a problem with `variant` planted until one fails; {its id: the fingerprints of its calls}, or {}.

    Args:
        tests: ids of those to run; all that `try_variant` runs when none is named.
    """
    recorder = _Recorder(InProcess(importlib.import_module(f"{__package__}.planted")))
    named = [str(TESTS / test) for test in tests] or _tests_of(variant, problem)
    with _quietly(variant):
        pytest.main([*PYTEST_OPTIONS, "--maxfail=1", *named], plugins=[recorder])
    return recorder.failed.get(problem, {})


def right_answers(problem: str) -> dict[str, list[list[Any]]]:
    """{test id: the fingerprints of its calls} for the reference, on the tests of a problem."""
    recorder = _Recorder(InProcess(importlib.import_module(f"{__package__}.planted")), keeps_all=True)
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*PYTEST_OPTIONS, str(TESTS / f"test_{problem}.py")], plugins=[recorder])
    return recorder.answers


def failures_of(
    submission: Submission, problem: str, claims: Sequence[str] = (), left_out: Sequence[str] = ()
) -> list[Failure]:
    """What fails of a problem's tests on stored cases, in this process: those failures that clues are looked for.

    Args:
        claims: names of the test functions to run; all by default. left_out: names of those not to run.
    """
    attribution = Attribution({problem: ()})
    file = str(TESTS / f"test_{problem}.py")
    named = [f"{file}::{claim}" for claim in claims] or [file]
    deselected = [f"--deselect={file}::{claim}" for claim in left_out]
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*PYTEST_OPTIONS, *named, *deselected], plugins=[_Recorder(submission, attribution=attribution)])
    return attribution.failures({})


@contextlib.contextmanager
def _quietly(variant: Variant) -> Iterator[None]:
    """With `variant` planted, and without what training says of itself."""
    with variant.planted(), contextlib.redirect_stdout(io.StringIO()):
        yield


def _tests_of(variant: Variant, problem: str) -> list[str]:
    """What to name to pytest: a file, or the claims of it that a misconception is limited to."""
    file = str(TESTS / f"test_{problem}.py")
    return [f"{file}::{claim}" for claim in getattr(variant, "claims", ())] or [file]


class _Recorder:
    """A pytest plugin that puts a submission under test and keeps the outcomes (`keeps_all`: and all answers)."""

    def __init__(self, submission: Submission, keeps_all: bool = False, attribution: Attribution | None = None) -> None:
        self.submission = submission
        self.keeps_all = keeps_all
        self.attribution = attribution
        self.answers: dict[str, list[list[Any]]] = {}
        self.failed: dict[str, dict[str, list[list[Any]]]] = {}
        self.passed: dict[str, list[str]] = {}
        self.advice: set[str] = set()

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[SUBMISSION] = self.submission
        draw_no_tracebacks(config)

    def pytest_runtest_setup(self) -> None:
        self.submission.begin_transcript()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if self.attribution is not None and call.when == "call":
            self.attribution.follow(problem_of(item.path), outcome_of(item, call), case_of(item), self.submission)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test_id = report.nodeid.removeprefix("tests/")
        problem = problem_of(Path(test_id.partition("::")[0]))
        if "advice" in report.keywords:
            self.advice.add(test_id)
        if getattr(report, "absent", False):
            return  # nothing was there to look at, which is neither passing nor failing
        if self.keeps_all and report.when == "call":
            self.answers[test_id] = fingerprint_transcript(self.submission.transcript or [])
        if report.failed or (report.skipped and report.when == "call"):
            self.failed.setdefault(problem, {})[test_id] = fingerprint_transcript(self.submission.transcript or [])
        elif report.when == "call":
            self.passed.setdefault(problem, []).append(test_id)
