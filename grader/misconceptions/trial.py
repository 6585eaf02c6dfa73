"""Try a variant: run a problem's tests with it planted into the reference, and write down what happens."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..cases.fingerprint import fingerprint_transcript
from ..in_process import InProcess
from ..testing import SUBMISSION
from .catalogue import Variant

KIT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Trial:
    """What a problem's stored tests said about a variant.

    failed: {test id: the fingerprints of its calls}; passed: ids of the others.
    """

    failed: dict[str, list[list[Any]]]
    passed: tuple[str, ...]


def try_variant(variant: Variant, problem: str) -> Trial:
    """Run the tests of `problem`, on stored cases and in this process, with `variant` planted."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    recorder = _Recorder(InProcess(importlib.import_module("grader.reference.adapters")))
    options = ["-c", str(KIT / "pyproject.toml"), "--rootdir", str(KIT), "-p", "no:terminal", "-p", "no:cacheprovider"]
    with variant.planted():
        pytest.main([*options, str(KIT / "tests" / f"test_{problem}.py")], plugins=[recorder])
    return Trial(recorder.failed, tuple(recorder.passed))


class _Recorder:
    """A pytest plugin that puts a submission under test and keeps the outcomes."""

    def __init__(self, submission: InProcess) -> None:
        self.submission = submission
        self.failed: dict[str, list[list[Any]]] = {}
        self.passed: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[SUBMISSION] = self.submission

    def pytest_runtest_setup(self) -> None:
        self.submission.transcript = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test_id = report.nodeid.rpartition("/")[2]
        if report.failed or (report.skipped and report.when == "call"):
            self.failed[test_id] = fingerprint_transcript(self.submission.transcript or [])
        elif report.when == "call":
            self.passed.append(test_id)
