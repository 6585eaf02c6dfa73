"""What happened to one test: the values that flow from the examiner to scoring and the report."""

from __future__ import annotations

import enum
import math
from dataclasses import asdict, dataclass
from typing import Any

from ..escape import visible

_TEXT_LIMIT = 2000  # characters
_MOST_ITEMS = 32
_EXACT = 2**53  # whole numbers beyond are not the same in every reader of JSON


class Result(enum.StrEnum):
    """The verdict on one test."""

    PASS = "pass"
    FAIL = "fail"
    TODO = "todo"
    ERROR = "error"
    TIMEOUT = "timeout"
    CRASH = "crash"
    NOT_RUN = "not_run"
    """Not begun, as tests before it took too long or ended the process: earns nothing, and is not known to fail."""
    SKIP = "skip"
    ABSENT = "absent"
    """What the test would look at is not there, or the grader failed at it: no statement, neither for nor against."""


class Tier(enum.StrEnum):
    """How firmly the assignment asks for what a claim says."""

    CORE = "core"
    """What the public assignment plainly asks."""
    EDGE = "edge"
    """What its text implies, or plain safety asks, and its own tests do not look at."""
    ADVICE = "advice"
    """A reading that an honest student may dispute: shown and explained, and worth nothing."""


@dataclass(frozen=True)
class PlannedTest:
    """A test that must appear exactly once in the report.

    id: `test_rope.py::test_batched[two_heads]`.
    claim: the test function that the id belongs to; a claim's cases pass or fail together.
    title: first line of the claim's docstring.
    tier: how firmly the assignment asks for it, and so what it may cost.
    judges_values: whether it compares with expected values (a case), as opposed to stating a property.
    own_adapter: whether it needs an adapter that only this kit defines, not the public assignment.
    fresh: whether its inputs come from the run's own seed rather than from `tests/fixtures/`.
    asked: where the assignment asks for it, as in "handout, section 3.4.1"; "" where nobody wrote it down.
    """

    id: str
    problem: str
    claim: str
    title: str
    tier: Tier
    judges_values: bool
    own_adapter: bool
    fresh: bool = False
    asked: str = ""

    def as_plain(self) -> dict[str, Any]:
        return {**asdict(self), "tier": str(self.tier)}

    @classmethod
    def from_plain(cls, fields: dict[str, Any]) -> PlannedTest:
        return cls(**{**fields, "tier": Tier(fields["tier"])})


@dataclass(frozen=True)
class Difference:
    """How an output differs from the expected one, as data: plain, short, and fit for JSON and a terminal.

    expected, got: of the first part that differs: a number, a text, or a list of such (a shape); None where there is
        nothing to say.
    where: {"case": id of the case, or None; "part": path of the part, as in `output[0]`; "kind": see `Mismatch`;
        "index": of the first element that differs; "differing", "of": how many elements do, of how many;
        "largest": {"difference", "allowed", "index"} of the element that is farthest off;
        "map": {"at", "rows", "columns", "cells"}, where in a matrix it differs}, None for what is not known.
    """

    expected: Any
    got: Any
    where: dict[str, Any]

    @classmethod
    def bounded(cls, expected: Any, got: Any, where: dict[str, Any]) -> Difference:
        """From values of any kind and size, such as come from behind the wall."""
        return cls(_bounded(expected), _bounded(got), {key: _bounded(value) for key, value in where.items()})


def _bounded(value: Any) -> Any:
    """A value as plain JSON of bounded size, in which nothing is left that a terminal would obey."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else f"a whole number of {value.bit_length()} bits"
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return visible(value[:_TEXT_LIMIT])[:_TEXT_LIMIT]
    if isinstance(value, bytes):
        return repr(value[:_TEXT_LIMIT])[:_TEXT_LIMIT]
    if isinstance(value, (list, tuple)):
        return [_bounded(item) if not isinstance(item, (list, tuple)) else "..." for item in value[:_MOST_ITEMS]]
    if isinstance(value, dict):
        return {_bounded(str(key)): _bounded(item) for key, item in list(value.items())[:_MOST_ITEMS]}
    return type(value).__name__


@dataclass(frozen=True)
class Outcome:
    """The result of one planned test.

    message: what a student should read first; detail: a traceback or captured output; seconds: wall time;
    difference: what the message says of an output that is not the expected one, as data.
    """

    id: str
    result: Result
    message: str = ""
    detail: str = ""
    seconds: float = 0.0
    difference: Difference | None = None

    def as_plain(self) -> dict[str, Any]:
        return {**asdict(self), "result": str(self.result)}

    @classmethod
    def from_plain(cls, fields: dict[str, Any]) -> Outcome:
        difference = fields.get("difference")
        return cls(
            **{
                **fields,
                "result": Result(fields["result"]),
                "difference": Difference(**difference) if difference is not None else None,
            }
        )


@dataclass(frozen=True)
class Written:
    """Free text of a submission that a person reads: no points follow from it by themselves."""

    question: str
    answer: str

    @classmethod
    def legible(cls, question: str, answer: str) -> Written:
        """With what a terminal would obey written out as escapes."""
        return cls(question, visible(answer))

    def as_plain(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Clue:
    """What was found out about why a test failed, beyond what its message says. For reading: no point depends on it.

    says: sentences for the student, in the order in which to read them.
    cause: those of them that say what is wrong, and not only what to look at.
    file, line: the place in the submission, the file relative to its folder; "" and 0 where it is not known.
    code: the lines around it, each with its number.
    callers: file, line and text of the submission's calls that led there, from the innermost outwards.
    agrees_until: the last named quantity of the formula that is right; missing: the first that never appears;
    relation: what stands in its place, as in "0.25 times the scaled scores". "" where nothing of the kind is known.
    """

    says: tuple[str, ...] = ()
    file: str = ""
    line: int = 0
    code: tuple[tuple[int, str], ...] = ()
    callers: tuple[tuple[str, int, str], ...] = ()
    agrees_until: str = ""
    missing: str = ""
    relation: str = ""
    cause: tuple[str, ...] = ()

    @classmethod
    def of_cause(cls, *says: str) -> Clue | None:
        """One that only says what is wrong; None where there is nothing to say."""
        return cls(says, cause=says) if says else None

    @property
    def way(self) -> tuple[tuple[str, int], ...]:
        """The place and the calls that led there: (file, line) of each."""
        return (self.file, self.line), *((file, line) for file, line, _ in self.callers)

    def __or__(self, other: Clue) -> Clue:
        """Both together: all that is said, and the place of the first that knows one."""
        place = self if self.file or not other.file else other
        way = self if self.missing or not other.missing else other
        says = tuple(dict.fromkeys((*self.says, *other.says)))
        found = way.agrees_until, way.missing, way.relation
        cause = tuple(dict.fromkeys((*self.cause, *other.cause)))
        return Clue(says, place.file, place.line, place.code, place.callers, *found, cause)

    def legible(self) -> Clue:
        """Of bounded size, and with what a terminal would obey written out."""

        def short(text: str) -> str:
            return visible(text[:_TEXT_LIMIT])[:_TEXT_LIMIT]

        code = tuple((number, short(text)) for number, text in self.code[:_MOST_ITEMS])
        callers = tuple((short(file), line, short(text)) for file, line, text in self.callers[:_MOST_ITEMS])
        says = tuple(map(short, self.says[:_MOST_ITEMS]))
        agrees_until, missing, relation = map(short, (self.agrees_until, self.missing, self.relation))
        cause = tuple(map(short, self.cause[:_MOST_ITEMS]))
        return Clue(says, short(self.file), self.line, code, callers, agrees_until, missing, relation, cause)

    def as_plain(self) -> dict[str, Any]:
        lists = {"code": [list(line) for line in self.code], "callers": [list(caller) for caller in self.callers]}
        return {**asdict(self), "says": list(self.says), **lists, "cause": list(self.cause)}

    @classmethod
    def from_plain(cls, fields: dict[str, Any]) -> Clue:
        """Back from `as_plain`; reports of before there were callers and causes have none."""
        code = tuple((number, text) for number, text in fields["code"])
        callers = tuple((file, line, text) for file, line, text in fields.get("callers", ()))
        tuples = {"says": tuple(fields["says"]), "cause": tuple(fields.get("cause", ()))}
        return cls(**{**fields, **tuples, "code": code, "callers": callers})


@dataclass(frozen=True)
class Explanation:
    """Why a test failed: a bug left exactly this trace.

    bug: id of the misconception, or "" for one that has no name; carried: whether it belongs to a problem that the
    test's own problem builds on, so that this test would pass if that one were right; below: that problem, where the
    bug has no name.
    """

    bug: str
    carried: bool
    below: str = ""
