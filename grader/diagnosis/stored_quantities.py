"""The named quantities of a few stored cases: what a student's copy of the kit has in the place of the formulas.

They are values and names, as `reference/_quantities.py` gives them; how one follows from another is not said. Matching
does with them what it does with live ones.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgpack
import numpy as np
import torch

from ..cases.assets import FixtureError
from ..cases.case import Case
from ..cases.store import CASES, stored_cases
from ..submission.interface import Question

QUANTITIES_FILE = CASES / "quantities.msgpack"


class KindOfQuantity(Protocol):
    """GIVEN, STEP, OPTIONAL or BESIDE, as `reference/_quantities.py` explains them."""

    @property
    def name(self) -> str: ...


class NamedQuantity(Protocol):
    """One quantity of a formula, as `reference/_quantities.py` explains it."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> np.ndarray: ...
    @property
    def kind(self) -> KindOfQuantity: ...
    @property
    def in_order(self) -> tuple[int, int] | None: ...
    @property
    def at(self) -> tuple[str | int, ...] | None: ...
    @property
    def free(self) -> bool: ...


@dataclass(frozen=True)
class StoredKind:
    """The name of a kind."""

    name: str


@dataclass(frozen=True, eq=False)
class StoredQuantity:
    """A quantity that was read from a file."""

    name: str
    formula: str
    value: np.ndarray
    kind: StoredKind
    in_order: tuple[int, int] | None
    at: tuple[str | int, ...] | None
    free: bool

    def __str__(self) -> str:
        return f"{self.name} {self.formula}".strip()


@dataclass(frozen=True, eq=False)
class KnownQuestion:
    """A question of a stored case, and its quantities in every right reading."""

    problem: str
    question: Question
    readings: list[list[NamedQuantity]]


def as_record(case: Case, readings: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """What the file keeps of one case; values in float32, which is more exact than matching asks for."""
    return {
        "case": case.name,
        "group": case.group,
        "readings": [[_as_record(quantity, case.inputs) for quantity in reading] for reading in readings],
    }


def _as_record(quantity: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """One quantity; of an argument, which the case has, only where it is."""
    value = np.asarray(quantity.value, "<f4")
    argument = next((path for path, given in _tensors(inputs) if np.array_equal(given, value)), None)
    return {
        "name": quantity.name,
        "formula": quantity.formula,
        "kind": quantity.kind.name,
        "in_order": quantity.in_order,
        "at": quantity.at,
        "free": quantity.free,
        **({"argument": argument} if argument else {"shape": value.shape, "value": value.tobytes()}),
    }


def _tensors(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], np.ndarray]]:
    """The real-valued tensors among a case's inputs, each with the keys that lead to it."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        yield path, value.float().numpy()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _tensors(item, (*path, key))


def write_records(records: Mapping[str, Sequence[Mapping[str, Any]]], path: Path = QUANTITIES_FILE) -> None:
    """records: {problem: those of its cases}"""
    path.write_bytes(zlib.compress(msgpack.packb(dict(sorted(records.items()))), 9))


def stored_records(path: Path = QUANTITIES_FILE) -> dict[str, list[dict[str, Any]]]:
    """The records of a file; none where it is not there."""
    return msgpack.unpackb(zlib.decompress(path.read_bytes())) if path.exists() else {}


@functools.cache
def known_questions(path: Path = QUANTITIES_FILE) -> tuple[KnownQuestion, ...]:
    """The questions whose quantities are stored. A problem whose cases are missing or damaged has none."""
    found = []
    for problem, records in stored_records(path).items():
        try:
            cases = {(case.name, case.group): case for case in stored_cases(problem)}
        except FixtureError:
            continue
        for record in records:
            case = cases.get((record["case"], record["group"]))
            if case is not None:
                readings: list[list[NamedQuantity]] = [
                    [_quantity(one, case.inputs) for one in reading] for reading in record["readings"]
                ]
                found.append(KnownQuestion(problem, (case.operation, case.inputs), readings))
    return tuple(found)


def _quantity(record: Mapping[str, Any], inputs: Mapping[str, Any]) -> StoredQuantity:
    if "argument" in record:
        found = functools.reduce(lambda value, key: value[key], record["argument"], inputs)
        value = found.double().numpy()  # type: ignore[attr-defined]
    else:
        value = np.frombuffer(record["value"], "<f4").astype(np.float64).reshape(record["shape"])
    in_order, at = (None if record[key] is None else tuple(record[key]) for key in ("in_order", "at"))
    kind = StoredKind(record["kind"])
    return StoredQuantity(record["name"], record["formula"], value, kind, in_order, at, record["free"])
