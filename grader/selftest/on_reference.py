"""A pytest plugin that puts the reference under test: `python -m pytest -p grader.selftest.on_reference tests`.

Mutation testing (`make mutants`) runs the tests this way, on the reference as an ordinary import.
"""

from __future__ import annotations

import importlib

import pytest

from grader.examination.pytest_plugin import SUBMISSION
from grader.submission.in_process import InProcess


def pytest_configure(config: pytest.Config) -> None:
    """Open `grader.reference` in this process."""
    config.stash[SUBMISSION] = InProcess(importlib.import_module("grader.reference.adapters"))
