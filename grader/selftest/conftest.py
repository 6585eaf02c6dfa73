"""What holds for every test here."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from grader.cases.case import Draw
from grader.report.model import ProblemReport, Report
from grader.selftest.forked import forks_for_processes
from grader.selftest.report_contract import check

# Files run side by side, one to a core, as examiners and workers do, here and in what tests start. Two threads of torch
# each, on tensors as small as these, spend several times their work waiting for one another. A test that is about
# threads sets their number itself.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined, so before any test module is imported

LONG = (
    *("end_to_end", "watch", "public_submissions", "wild_submissions", "explanations", "selected_problems"),
    *("environments", "experiments", "impaired_loops", "integrity", "locate", "usage_monitor", "nothing_is_lost"),
    *("allowance", "contract", "compilation", "cluster"),
)
"""The files that take longest, as measured: most of them grade whole submissions, as people do. `make test` leaves them
to `make test LONG=1`; CI runs as many of them as there is time for, the first two always: they ask what README shows.
Begun before the others, they leave no core idle at the end while one of them runs."""
_ALWAYS = 2

_BEGAN = time.monotonic()
_WITHIN_S = float(os.environ.get("TESTS_WITHIN_S", "inf"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """On a machine that is too slow for all of them, what is left after so many seconds says that it was left out."""
    if time.monotonic() - _BEGAN > _WITHIN_S:
        pytest.skip(f"no time: the tests have taken {_WITHIN_S:g} s (TESTS_WITHIN_S)")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--without-long", action="store_true", help="leave out the files that take longest")
    parser.addoption("--only-long", action="store_true", help="leave out the others")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Those of `LONG`, then the others; where not all may be reached, in an order that is drawn for each run."""
    only_long = config.getoption("--only-long")
    if only_long or config.getoption("--without-long"):
        config.hook.pytest_deselected(items=[item for item in items if (_file_of(item) in LONG) != only_long])
        items[:] = [item for item in items if (_file_of(item) in LONG) == only_long]
    first, long = list(LONG[:_ALWAYS]), list(LONG[_ALWAYS:])
    others = sorted({_file_of(item) for item in items} - set(LONG))
    if math.isfinite(_WITHIN_S):
        chance = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))
        chance.shuffle(long)
        chance.shuffle(others)
    position = {name: place for place, name in enumerate([*first, *long, *others])}
    items.sort(key=lambda item: position[_file_of(item)])


def _file_of(item: pytest.Item) -> str:
    return item.path.stem.removeprefix("test_")


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> Draw:
    """Draws what a test compares on, the same at each run, and other values for each test."""
    return Draw(7, request.node.name)


@pytest.fixture(scope="module", autouse=True)
def every_file_leaves_the_process_where_it_was() -> Iterator[None]:
    """To import a submission here changes the working directory and the import path, as it does for a student; and its
    modules have the names of those of every other submission."""
    folder, path, modules = os.getcwd(), list(sys.path), set(sys.modules)
    yield
    os.chdir(folder)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name == "tests.adapters" or name.partition(".")[0] in ("adapters", "cs336_basics"):
            del sys.modules[name]


@pytest.fixture(scope="module", autouse=True)
def processes_are_forks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Except where a file of tests is about processes themselves, and says so."""
    with contextlib.nullcontext() if getattr(request.module, "REAL_PROCESSES", False) else forks_for_processes():
        yield


@pytest.fixture(scope="session", autouse=True)
def every_report_fulfils_the_schema() -> Iterator[None]:
    """Hold to the schema whatever report becomes JSON in this process, and each problem that is put into one."""
    if importlib.util.find_spec("jsonschema") is None:  # on a machine with a GPU and no development packages
        yield
        return
    whole, made = Report.as_json, ProblemReport.__init__

    def as_json(report: Report, /) -> dict[str, Any]:
        fields = whole(report)
        check(fields)
        return fields

    def initialised(itself: ProblemReport, /, *arguments: Any, **fields: Any) -> None:
        made(itself, *arguments, **fields)
        check(itself.as_json(), "problem")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Report, "as_json", as_json)
        patch.setattr(ProblemReport, "__init__", initialised)
        yield
