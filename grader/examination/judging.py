"""What a test of pytest's means for the report: what is planned of it, and what an exception in it says."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from ..cases.case import Case
from ..cases.compare import Mismatch
from ..errors import Refused
from ..escape import visible
from ..scoring.outcome import Difference, Outcome, PlannedTest, Result, Tier
from ..submission.faults import Fault
from ..submission.interface import Submission
from ..worker.own_frames import one_line, passes_through, traceback_in
from .pytest_plugin import NothingToTest, problem_of

_TEXT_LIMIT = 4000


def outcome_of(item: pytest.Item, call: pytest.CallInfo[Any]) -> Outcome:
    """What became of a test in one of its phases."""
    if call.excinfo is None:
        return Outcome(id_of(item), Result.PASS, seconds=call.duration)
    error = call.excinfo.value
    submission = getattr(item, "funcargs", {}).get("submission")
    result, message, detail = _of_own_code(error, submission) or _judge(error)
    message, detail = visible(message[:_TEXT_LIMIT]), visible(detail[:_TEXT_LIMIT])
    return Outcome(id_of(item), result, message, detail, call.duration, _difference(error, case_of(item)))


def _of_own_code(error: BaseException, submission: Submission | None) -> tuple[Result, str, str] | None:
    """The same for an exception of a submission that runs in this process, where it comes through as it is."""
    if submission is None or not submission.has_files or isinstance(error, (Fault, NothingToTest, AssertionError)):
        return None
    root = str(submission.files.root)
    if not passes_through(root, error):
        return None
    return Result.ERROR, one_line(error), traceback_in(root, error)


def _judge(error: BaseException) -> tuple[Result, str, str]:
    """The result, message and detail that an exception in a test stands for."""
    if isinstance(error, NothingToTest):
        error = error.fault
    notes = "\n".join(getattr(error, "__notes__", []))
    if isinstance(error, Fault):
        return error.result, error.message, "\n".join(filter(None, [error.detail, notes]))
    if isinstance(error, Mismatch):
        return Result.FAIL, error.message, notes
    if isinstance(error, AssertionError):
        return Result.FAIL, str(error).partition("\nassert ")[0] or "an assertion failed", notes
    if isinstance(error, Refused):
        return Result.ERROR, str(error), notes
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error)):
        message = f"the grader's own memory{_limit()} did not suffice for what came of this test's calls."
        return Result.ERROR, message, notes
    return Result.ERROR, f"the test could not finish: {type(error).__name__}: {error}", notes


def _limit() -> str:
    """How much memory this process may take, in words."""
    if sys.platform == "win32":
        return ""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return "" if soft == resource.RLIM_INFINITY else f", {soft >> 20:,} MiB,"


def _difference(error: BaseException, case: Case | None) -> Difference | None:
    """What an exception in a test says as data, if it is about an output that is not the expected one."""
    return error.difference(case.id if case is not None else None) if isinstance(error, Mismatch) else None


def id_of(item: pytest.Item) -> str:
    """`test_rope.py::test_batched[two_heads]`."""
    return f"{item.path.name}::{item.name}"


def claim_of(item: pytest.Item) -> str:
    """`test_rope.py::test_batched`, of which the item may be one case."""
    return f"{item.path.name}::{getattr(item, 'originalname', item.name)}"


def question_of(item: pytest.Item) -> tuple[str, ...]:
    """What several tests ask in common, each with inputs of its own: the claim, the operation that the case is about,
    and which of the submission's functions that is about. A test without a case asks something that no other does."""
    case = case_of(item)
    if case is None:
        return (id_of(item),)
    return claim_of(item), case.operation, *case.about


def case_of(item: pytest.Item) -> Case | None:
    """The case that a test was parametrised with, if any."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("case") if callspec is not None else None


def plan(item: pytest.Item) -> PlannedTest:
    """What the report is told of a test before it runs."""
    assert isinstance(item, pytest.Function)
    case = case_of(item)
    documentation = (item.function.__doc__ or item.originalname).strip()
    return PlannedTest(
        id=id_of(item),
        problem=problem_of(item.path),
        claim=claim_of(item),
        title=documentation.splitlines()[0],
        tier=tier_of(item),
        judges_values=_judges_values(item),
        own_adapter=item.get_closest_marker("own_adapter") is not None,
        fresh=case is not None and case.fresh,
        asked=_asked(documentation),
    )


def _judges_values(item: pytest.Item) -> bool:
    """Whether a claim compares with expected values; one that only relates answers to each other does not."""
    marked = {mark.name for mark in item.iter_markers()}
    return bool(marked & {"cases", "decisive"}) and "relation" not in marked


def tier_of(item: pytest.Item) -> Tier:
    """What `@pytest.mark.edge` or `@pytest.mark.advice` says of a claim; the stronger where both stand."""
    return next((tier for tier in (Tier.ADVICE, Tier.EDGE) if item.get_closest_marker(tier)), Tier.CORE)


def _asked(documentation: str) -> str:
    """The line of a claim's docstring that says where the assignment asks for it: `Asked: handout, section 3.3`."""
    lines = (line.strip() for line in documentation.splitlines())
    return next((line.removeprefix("Asked:").strip() for line in lines if line.startswith("Asked:")), "")
