"""The pytest side of the tests: the `submission` fixture, cases as parameters, and *todo* as an outcome.

`tests/conftest.py` takes these names over. Run by hand, a test calls the code in the checkout in this process; run by
the grader, the examiner has put another submission and a seed for fresh cases into the session's stash.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..artifacts.answers import Answers, answers_to, remarks_on
from ..artifacts.run import Run, runs_of
from ..cases.assets import FixtureError
from ..cases.case import Case, Oracle
from ..cases.store import fresh_cases, stored_cases
from ..diagnosis.clues import size_of
from ..diagnosis.own_parts import OwnParts
from ..kit.paths import KIT, TESTS
from ..scoring.outcome import Written
from ..submission.faults import AdapterMissing, Fault, NothingToAssess, Todo
from ..submission.files import Files
from ..submission.interface import Submission
from ..submission.locate import locate

if TYPE_CHECKING:
    from ..artifacts.measurement import Reference


# The kit's own settings, and of pytest's plugins only what the tests use: the rest costs milliseconds per test.
PYTEST_OPTIONS = [
    *("-c", str(KIT / "pyproject.toml"), "--rootdir", str(KIT), "--confcutdir", str(TESTS)),
    *(f"--override-ini={setting}" for setting in ("addopts=", "pythonpath=")),
    *("--import-mode=importlib", "--strict-markers", "--capture=no", "--disable-plugin-autoload"),
    *("-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:faulthandler", "-p", "no:logging"),
    *("-p", "no:unraisableexception", "-p", "no:threadexception", "-p", "no:doctest", "-p", "no:unittest"),
]

SUBMISSION = pytest.StashKey[Submission]()
_NEEDS_REFERENCE = frozenset({"reference"})

FRESH = pytest.StashKey[tuple[int, Oracle]]()
UNWRITTEN = pytest.StashKey[Mapping[str, Todo]]()
"""Problems whose cases all ask for what is still to be written: no fresh ones are drawn."""
ORACLE = pytest.StashKey[Oracle]()
FOR_STAFF = pytest.StashKey[list[Written]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests --submission FOLDER` tests the code of another folder, in this process."""
    parser.addoption("--submission", default=None, metavar="FOLDER", help="test this folder's code instead")


@pytest.fixture(scope="session")
def submission(request: pytest.FixtureRequest) -> Submission:
    """The code under test: what the grader put into the session, else the code in this checkout."""
    given = request.config.stash.get(SUBMISSION, None)
    return given if given is not None else _open(request.config.option.submission or request.config.rootpath)


def _open(root: Path) -> Submission:
    from ..submission.in_process import open_in_process

    layout = locate(root)
    return open_in_process(layout, files=Files(layout.root))


def draw_no_tracebacks(config: pytest.Config) -> None:
    """Spare pytest's own picture of each failure, which nobody sees here and which takes a quarter of a second."""
    config.option.tbstyle = "no"


def draw_alike_everywhere() -> None:
    """Keep Hypothesis from drawing numbers that stand in code that happens to be imported: the submission's, or ours.

    The same test would draw others in a student's pytest than in a grade, and others after each edit. To look for them
    also takes a fifth of a second.
    """
    from hypothesis.internal.conjecture import providers

    if hasattr(providers, "_get_local_constants"):  # there since 6.131
        providers._get_local_constants = lambda: providers._local_constants


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Draws from the run's seed (from 0, where there is none), for what is measured and must not be known before."""
    return _chance_of(request)


def _chance_of(request: pytest.FixtureRequest) -> random.Random:
    seed = request.config.stash[FRESH][0] if FRESH in request.config.stash else 0
    return random.Random(f"{seed} {request.node.nodeid}")


@pytest.fixture(scope="module")
def chance_of_file(request: pytest.FixtureRequest) -> random.Random:
    """As `chance`, for what the tests of a file have in common."""
    return _chance_of(request)


@pytest.fixture(scope="session")
def own_parts(request: pytest.FixtureRequest, submission: Submission) -> OwnParts:
    """What the submission's training is made of, for whoever measures weights that come of it."""
    return OwnParts(submission.perform, request.config.stash.get(ORACLE, None))


@pytest.fixture
def answers(request: pytest.FixtureRequest, submission: Submission) -> Answers:
    """What the submission's `answers.toml` says to the problem that the test file is about."""
    return answers_to(problem_of(request.path), submission.files)


@pytest.fixture
def runs(request: pytest.FixtureRequest, submission: Submission) -> list[Run]:
    """The run folders of the experiment that the test file is about."""
    return runs_of(problem_of(request.path), submission.files)


@pytest.fixture
def remarks(
    request: pytest.FixtureRequest, submission: Submission, for_staff: Callable[[str, str], None]
) -> Callable[[str], None]:
    """Pass on what `answers.toml` says beside the files of an experiment: `remarks("comment")`."""
    problem = problem_of(request.path)
    return lambda key: remarks_on(problem, submission.files).pass_on(for_staff, key)


@pytest.fixture(scope="session")
def reference() -> Reference:
    """The reference, for what is measured with it; where there is none, tests that ask for it are not planned."""
    from ..artifacts.measurement import Reference

    return Reference()


@pytest.fixture
def for_staff(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Pass free text on to the person who grades: `for_staff(question, answer)` puts both into the report."""
    texts = request.node.stash.setdefault(FOR_STAFF, [])
    return lambda question, answer: texts.append(Written.legible(question, answer))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is measured against the reference where there is none; of each file the simplest comes first."""
    if ORACLE not in config.stash:
        items[:] = [item for item in items if _NEEDS_REFERENCE.isdisjoint(getattr(item, "fixturenames", ()))]
    if SUBMISSION not in config.stash:  # the grader has an order of its own
        files = {item.path: place for place, item in reversed(list(enumerate(items)))}
        items.sort(key=lambda item: (files[item.path], *_simplicity(item)))


def _simplicity(item: pytest.Item) -> tuple[int, bool, int]:
    """What is asked plainly before what is not, values before properties, and small inputs before large ones."""
    tier = next((1 + i for i, name in enumerate(("edge", "advice")) if item.get_closest_marker(name)), 0)
    case = getattr(item, "callspec", None) and item.callspec.params.get("case")  # type: ignore[attr-defined]
    return tier, case is None, size_of(case.inputs) if case is not None else 0


def problem_of(path: Path) -> str:
    """The problem id that a test file is about: `test_rope.py` -> `rope`."""
    return path.stem.removeprefix("test_")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Turn `@pytest.mark.cases("group", ...)` into one test per case of these groups."""
    marker = metafunc.definition.get_closest_marker("cases")
    if marker is None:
        return
    groups = marker.args or ("reference",)
    try:
        available = _cases(metafunc.config, problem_of(metafunc.definition.path))
    except FixtureError as error:
        raise pytest.Collector.CollectError(str(error)) from error
    chosen = [case for case in available if case.group in groups]
    if not chosen:
        known = dict.fromkeys(case.group for case in available)
        raise pytest.Collector.CollectError(
            f"{metafunc.definition.nodeid}: no case belongs to {' or '.join(map(repr, groups))}. There are "
            f"{', '.join(known)}."
        )
    metafunc.parametrize("case", chosen, ids=[case.id for case in chosen])


def _cases(config: pytest.Config, problem: str) -> list[Case]:
    seed, oracle = config.stash.get(FRESH, (None, None))
    if problem in config.stash.get(UNWRITTEN, ()):
        return _drawn_once(problem, None, None)
    return _drawn_once(problem, seed, oracle)


@functools.cache
def _drawn_once(problem: str, seed: int | None, oracle: Oracle | None) -> list[Case]:
    fresh = fresh_cases(problem, seed, oracle) if seed is not None and oracle is not None else []
    return stored_cases(problem) + fresh


class NothingToTest(pytest.skip.Exception):
    """Stands for a fault that is no failure in pytest, which draws no long traceback for what is skipped."""

    def __init__(self, fault: Todo | AdapterMissing | NothingToAssess) -> None:
        super().__init__(f"{fault.result}: {fault.message}")
        self.fault = fault


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """An unwritten stub is todo; an absent adapter or an experiment not made is skipped. None of them is a failure."""
    fault = call.excinfo.value if call.excinfo is not None else None
    if isinstance(fault, (Todo, AdapterMissing, NothingToAssess)):
        call.excinfo = pytest.ExceptionInfo.from_exception(NothingToTest(fault).with_traceback(fault.__traceback__))
    report = yield
    if isinstance(fault, Todo):
        report.todo = True  # type: ignore[attr-defined]  # read by pytest_report_teststatus
    if isinstance(fault, NothingToAssess):
        report.absent = True  # type: ignore[attr-defined]  # read by whoever counts what failed
    return report


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """Of several failures that Hypothesis found, the report shows one, in the test's words and not in Hypothesis'."""
    try:
        return (yield)
    except BaseExceptionGroup as group:
        raise one_of(group) from None


def _says_much(error: BaseException) -> bool:
    return isinstance(error, Fault | AssertionError)


def one_of(group: BaseExceptionGroup) -> BaseException:
    """The exception of a group that says most; with a note, where the same inputs did not always come to the same."""
    from hypothesis.errors import Flaky

    chosen: BaseException | None = None
    rest: list[BaseException] = [group]
    while rest:
        error = rest.pop(0)
        if isinstance(error, BaseExceptionGroup):
            rest += error.exceptions
        elif chosen is None or (_says_much(error) and not _says_much(chosen)):
            chosen = error
    assert chosen is not None
    if isinstance(group, Flaky):
        chosen.add_note("Asked the same once more, it came out otherwise: your code does not always give one answer.")
    return chosen


def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Count unwritten stubs as "todo" in pytest's own summary."""
    if getattr(report, "todo", False):
        return "todo", "t", ("TODO", {"yellow": True})
    return None
