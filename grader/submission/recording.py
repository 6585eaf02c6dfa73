"""A recording of a call, read from data that a submission's worker may have made up: see `worker/recorder.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..worker.wire import WireError

_MOST_STEPS = 2000
_MOST_NUMBERS = 1 << 16
_MOST_SOURCES = 64
_LINES = range(1, 1_000_000)


@dataclass(frozen=True, eq=False)
class Step:
    """One operation of the submission's.

    file, line: where, the file relative to the submission's folder; name: of the operation, such as "matmul";
    value: float64, what came of it; None where that is unknown, or no real numbers.
    sources: indices of the steps that it was computed from; writes: whether it wrote into a tensor that was there
    before.
    call: counts the calls of functions that the line was run in; callers: files and lines of the submission's calls
    that led there, from the innermost outwards.
    """

    file: str
    line: int
    name: str
    value: np.ndarray | None
    sources: tuple[int, ...] = ()
    writes: bool = False
    call: int = 0
    callers: tuple[tuple[str, int], ...] = ()

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Where it is, and the calls that led there."""
        return (self.file, self.line), *self.callers


@dataclass(frozen=True)
class Raised:
    """The exception that a call ended with, and the innermost line of the submission on its way; "" and 0 if none."""

    type: str
    file: str
    line: int


@dataclass(frozen=True, eq=False)
class Recording:
    """What one call computed, in order. answer: what it gave, plain data of any kind; full: whether something was left
    out."""

    steps: tuple[Step, ...]
    answer: Any
    ended: Raised | None
    full: bool

    @classmethod
    def read(cls, said: Any) -> Recording:
        """Take plain data of any form for a recording.

        Raises:
            WireError: it is none.
        """
        fields = _fields(said, steps=list, full=bool)
        if len(fields["steps"]) > _MOST_STEPS:
            raise WireError("a recording that is too long")
        steps = tuple(_step(step, i) for i, step in enumerate(fields["steps"]))
        ended = said.get("ended")
        if ended is not None:
            place = _fields(ended, type=str, file=str, line=int)
            ended = Raised(place["type"], place["file"], place["line"])
        return cls(steps, said.get("answer"), ended, fields["full"])


def _step(said: Any, index: int) -> Step:
    fields = _fields(said, file=str, line=int, call=int, callers=list, name=str, writes=bool, **{"from": list})
    value, sources, callers = said.get("value"), fields["from"], fields["callers"]
    if not all(type(source) is int and 0 <= source < index for source in sources):
        raise WireError("a step that comes of none before it")
    for place in callers[:_MOST_SOURCES]:
        if type(place) is not list or list(map(type, place)) != [str, int] or place[1] not in _LINES:
            raise WireError("malformed callers")
    if fields["line"] not in _LINES:
        raise WireError("a malformed step")
    if value is not None:
        if type(value) is not np.ndarray or value.dtype.kind != "f" or not 0 < value.size <= _MOST_NUMBERS:
            raise WireError("a value that is no array of numbers")
        with np.errstate(invalid="ignore"):
            value = value.astype(np.float64)
    return Step(
        fields["file"],
        fields["line"],
        fields["name"],
        value,
        tuple(sources[-_MOST_SOURCES:]),
        fields["writes"],
        fields["call"],
        tuple((file, line) for file, line in callers[:_MOST_SOURCES]),
    )


def _fields(said: Any, **kinds: type) -> dict[str, Any]:
    """The values of a dict that has to have these keys, each of exactly this type."""
    if type(said) is not dict or not all(type(said.get(key)) is kind for key, kind in kinds.items()):
        raise WireError("malformed")
    return said
