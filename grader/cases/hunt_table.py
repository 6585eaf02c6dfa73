"""What `grader hunt` knows of a problem: small inputs, the right outputs, and what each known bug gives instead.

Stored as `tests/fixtures/hunts/<problem>.msgpack`: the wire format's plain data, compressed by zlib. No code is in it,
and no sentence about a bug: its words are written once, in `misconceptions.msgpack`. What is stored comes
from `trials/hunt_outputs.py`, for the inputs of `fixtures/hunt_inputs.py`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import Refused
from ..kit.paths import FIXTURES
from ..worker import wire
from .compare import Mismatch, Tolerance, compare

HUNTS = FIXTURES / "hunts"

_FOUR_DIGITS = 1e-3
"""Outputs are shown with four digits: a difference that nobody could see there is none in a hunt."""

_TWO_DIGITS = 2e-2
"""Of what is in half precision, whose last bits right code may round either way."""

_BYTES = 1 << 24


@dataclass(frozen=True)
class Refusal:
    """In the place of an output: the call raised an exception. text: its type and message, `TypeError: ...`."""

    text: str


@dataclass(frozen=True, eq=False)
class TableInput:
    """One line of the table.

    about: what a person reads in the list, such as "one vector at position 1".
    operation, arguments: the call; right: its output.
    """

    about: str
    operation: str
    arguments: dict[str, Any]
    right: Any


@dataclass(frozen=True, eq=False)
class HuntTable:
    """The inputs of a problem, from simple to telling, and its bugs.

    wrong: {id of a bug: {number of an input, from 0: what the bug gives}} where it gives something else than what is
        right; a bug that shows in no input is not in it.
    """

    problem: str
    inputs: tuple[TableInput, ...]
    wrong: Mapping[str, Mapping[int, Any]] = field(default_factory=dict)

    def output(self, bug: str, number: int) -> Any:
        """What the code gives for an input while the bug is planted."""
        return self.wrong[bug].get(number, self.inputs[number].right)

    def tells_apart(self, one: str, other: str, number: int) -> bool:
        """Whether an input gives different outputs under two bugs."""
        if number not in self.wrong[one] and number not in self.wrong[other]:
            return False
        return not same_output(self.output(one, number), self.output(other, number))


def same_output(one: Any, other: Any) -> bool:
    """Whether a person would see the same: equal up to four digits, or exceptions of one type."""
    if isinstance(one, Refusal) or isinstance(other, Refusal):
        kinds = [what.text.partition(":")[0] if isinstance(what, Refusal) else None for what in (one, other)]
        return kinds[0] == kinds[1]
    try:
        compare(_no_numbers(one), _no_numbers(other), Tolerance())
        compare(_numbers(one), _numbers(other), Tolerance(_TWO_DIGITS if _is_coarse(one) else _FOUR_DIGITS))
    except Mismatch:
        return False
    return True


def _no_numbers(value: Any) -> Any:
    """Where an output is not a number, which nothing equals, not even itself."""
    return _changed(value, lambda tensor: tensor.isnan() if tensor.is_floating_point() else tensor, math.isnan)


def _numbers(value: Any) -> Any:
    """An output with zeros where it is not a number."""

    def zeroed(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.masked_fill(tensor.isnan(), 0.0) if tensor.is_floating_point() else tensor

    return _changed(value, zeroed, lambda number: 0.0 if math.isnan(number) else number)


def _changed(value: Any, tensors: Callable[[torch.Tensor], torch.Tensor], floats: Callable[[float], Any]) -> Any:
    if isinstance(value, torch.Tensor):
        return tensors(value)
    if isinstance(value, float):
        return floats(value)
    if isinstance(value, dict):
        return {key: _changed(item, tensors, floats) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_changed(item, tensors, floats) for item in value)
    return value


def _is_coarse(value: Any) -> bool:
    if isinstance(value, (dict, list, tuple)):
        return any(map(_is_coarse, value.values() if isinstance(value, dict) else value))
    return isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)


def problems_with_hunts() -> list[str]:
    """Ids of the problems that have a table."""
    return sorted(path.stem for path in HUNTS.glob("*.msgpack"))


def read_hunt_table(problem: str, folder: Path = HUNTS) -> HuntTable:
    """The table of one problem.

    Raises:
        Refused: when the file is missing or damaged.
    """
    path = folder / f"{problem}.msgpack"
    mend = "restore it with `git checkout tests/fixtures`."
    try:
        plain = wire.decode(zlib.decompressobj().decompress(path.read_bytes(), _BYTES))
        inputs = tuple(
            TableInput(about, operation, arguments, _unpacked(right))
            for about, operation, arguments, right in plain["inputs"]
        )
        wrong = {bug: {int(n): _unpacked(output) for n, output in outputs.items()} for bug, outputs in plain["wrong"]}
    except OSError as error:
        raise Refused(f"tests/fixtures/hunts/{path.name} cannot be read ({error.strerror}); {mend}") from error
    except (zlib.error, wire.WireError, KeyError, TypeError, ValueError) as error:
        raise Refused(f"tests/fixtures/hunts/{path.name} is damaged ({error}); {mend}") from error
    return HuntTable(problem, inputs, wrong)


def write_hunt_table(table: HuntTable, folder: Path = HUNTS) -> Path:
    """Store a table below `folder`; gives the file."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [[one.about, one.operation, one.arguments, _packed(one.right)] for one in table.inputs]
    wrong = [[bug, {n: _packed(output) for n, output in outputs.items()}] for bug, outputs in table.wrong.items()]
    path = folder / f"{table.problem}.msgpack"
    path.write_bytes(zlib.compress(wire.encode({"inputs": inputs, "wrong": wrong}), 9))
    return path


def _packed(output: Any) -> Any:
    return {"raised": output.text} if isinstance(output, Refusal) else {"value": output}


def _unpacked(plain: Any) -> Any:
    return Refusal(plain["raised"]) if "raised" in plain else plain["value"]
