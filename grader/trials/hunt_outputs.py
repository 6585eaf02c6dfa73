"""What right code and each known bug give for the inputs of a hunt: the outputs that `cases/hunt_table.py` stores."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Sequence
from typing import Any

from ..cases.assets import FixtureError
from ..cases.hunt_table import HuntTable, Refusal, TableInput, same_output
from ..misconceptions.catalogue import Variant, load_catalogue
from ..submission.faults import Fault
from ..submission.in_process import InProcess

Line = tuple[str, str, dict[str, Any]]
"""(what a person reads, operation, arguments)."""

_MESSAGE = 100
"""Characters of an exception's message that are kept: enough to see what was refused."""


def make_table(problem: str, lines: Sequence[Line]) -> HuntTable:
    """Ask the reference and every known bug of a problem for all lines.

    Raises:
        FixtureError: the reference itself refuses one of them.
    """
    inputs = tuple(TableInput(*line, right=output) for line, output in zip(lines, _answers(lines), strict=True))
    for one in inputs:
        if isinstance(one.right, Refusal):
            raise FixtureError(f"hunt_inputs.py, {problem}, {one.about!r}: right code refuses this ({one.right.text}).")
    wrong = {}
    for bug in load_catalogue(problem):
        outputs = answers_of(bug, lines)
        differing = {n: output for n, output in enumerate(outputs) if not same_output(inputs[n].right, output)}
        if differing:
            wrong[bug.id] = differing
    return HuntTable(problem, inputs, wrong)


def answers_of(variant: Variant, lines: Sequence[Line]) -> list[Any]:
    """What the reference gives for each line while a variant is planted in it."""
    with variant.planted():
        return _answers(lines)


def _answers(lines: Sequence[Line]) -> list[Any]:
    submission = InProcess(importlib.import_module(f"{__package__}.planted"))
    return [_answer(submission, operation, arguments) for _, operation, arguments in lines]


def _answer(submission: InProcess, operation: str, arguments: dict[str, Any]) -> Any:
    """The output of one call, or the exception in its place."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return submission.perform(operation, arguments)
    except Fault as fault:
        return Refusal(fault.message[:_MESSAGE])
    except Exception as error:
        return Refusal(f"{type(error).__name__}: {error}".partition("\n")[0][:_MESSAGE])
