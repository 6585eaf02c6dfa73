"""Compare an output with the expected one and say where they part.

The order is always the same: type, shape, dtype, finiteness, and only then values within a tolerance. The tolerance is
relative to the size of each expected value and to the root mean square of all of them, so that an output of zeros
never passes because the values are small.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..scoring.outcome import Difference

_PLAIN = frozenset({int, str, bytes})
"""Types of which two values are the same or not, whatever the tolerance. (A bool is no int here: `True == 1`.)"""

_SHOWN = 60
_UNKNOWN = dict.fromkeys(("index", "differing", "of", "largest", "map"))
_CELLS = 16
"""As many rows and columns a map of differences has at most."""


@dataclass(frozen=True)
class Tolerance:
    """How far a value may be off: |actual - expected| <= relative * (|expected| + rms(expected)) + absolute.

    typical: how far all values of a tensor may be off together: rms(actual - expected) <= typical * rms(expected). The
    worst of many values is a matter of luck, above all in half precision; what they have in common is not.
    """

    relative: float = 2e-5
    absolute: float = 0.0
    typical: float | None = None


class Mismatch(AssertionError):
    """An output is not what was expected.

    Args:
        message: what differs, where first, by how much.
        where: path to the differing part of the output, such as `output[0]`.
        kind: "type", "shape", "dtype", "finite", "value", "keys" or "length".
        expected, got: the same as data, where something can be said: a number, a text, or a list of such.
        place: where within the part, with the keys of `Difference.where`.
    """

    def __init__(
        self,
        message: str,
        where: str,
        kind: str,
        expected: Any = None,
        got: Any = None,
        place: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.kind = kind
        self.expected = expected
        self.got = got
        self.place = dict(place or {})

    def difference(self, case: str | None = None) -> Difference:
        """What it says, as data that may leave this process; `case` is the id of the case."""
        where = {"case": case, "part": self.where, "kind": self.kind, **_UNKNOWN, **self.place}
        return Difference.bounded(self.expected, self.got, where)

    def add(self, *sentences: str) -> None:
        """Append what else is known about the difference."""
        self.message = "\n".join([self.message, *sentences])
        self.args = (self.message,)


def compare(expected: Any, actual: Any, tolerance: Tolerance = Tolerance(), where: str = "output") -> None:
    """Raise `Mismatch` unless `actual` equals `expected` (floating-point values within `tolerance`)."""
    if isinstance(expected, torch.Tensor):
        _compare_tensors(expected, actual, tolerance, where)
    elif isinstance(expected, dict):
        _compare_dicts(expected, actual, tolerance, where)
    elif isinstance(expected, (list, tuple)):
        _compare_sequences(expected, actual, tolerance, where)
    elif isinstance(expected, float):
        _compare_numbers(expected, actual, tolerance, where)
    elif isinstance(expected, int) and not isinstance(expected, bool):
        if not isinstance(actual, (int, np.integer)) or isinstance(actual, bool):
            raise _type_mismatch("an int", actual, where)
        if actual != expected:
            raise Mismatch(f"{where}: expected {expected}, got {actual}", where, "value", expected, int(actual))
    else:
        if type(actual) is not type(expected):
            raise _type_mismatch(_name(expected), actual, where)
        if actual != expected:
            raise _different(expected, actual, where)


def plainly_equal(one: Any, other: Any) -> bool:
    """Whether two lists, tuples or dictionaries hold the same integers, texts or bytes, as ids and vocabularies do.

    False where they hold anything else. To compare hundreds of thousands of ids one by one takes ten times as long.
    """
    if type(one) is not type(other) or type(one) not in (list, tuple, dict):
        return False
    items = (one.values(), other.values()) if type(one) is dict else (one, other)
    return all(_PLAIN.issuperset(map(type, values)) for values in items) and bool(one == other)


def _compare_tensors(expected: torch.Tensor, actual: Any, tolerance: Tolerance, where: str) -> None:
    if not isinstance(actual, torch.Tensor):
        raise _type_mismatch("a torch.Tensor", actual, where)
    if actual.shape != expected.shape:
        shapes = tuple(expected.shape), tuple(actual.shape)
        raise Mismatch(f"{where}: expected shape {shapes[0]}, got {shapes[1]}", where, "shape", *shapes)
    if actual.dtype != expected.dtype:
        message = f"{where}: expected dtype {expected.dtype}, got {actual.dtype}"
        raise Mismatch(message, where, "dtype", str(expected.dtype), str(actual.dtype))
    if not expected.is_floating_point():
        wrong = actual != expected
        if wrong.any():
            raise _different_values(expected, actual, wrong, where)
        return
    strange = ~torch.isfinite(actual) & torch.isfinite(expected)
    if strange.any():
        index = _first(strange)
        raise Mismatch(
            f"{where}: {int(strange.sum())} of {actual.numel()} values are not finite, "
            f"the first at {index}: expected {_value(expected[tuple(index)])}, got {_value(actual[tuple(index)])}",
            where,
            "finite",
            expected[tuple(index)].item(),
            actual[tuple(index)].item(),
            {
                "index": index,
                "differing": int(strange.sum()),
                "of": actual.numel(),
                "map": _map(torch.where(strange, math.inf, 0.0), index, 1.0),
            },
        )
    wide, got = expected.double(), actual.double()
    finite = torch.isfinite(wide)
    rms = wide[finite].square().mean().sqrt() if finite.any() else wide.new_zeros(())
    allowed = tolerance.relative * (wide.abs() + rms) + tolerance.absolute
    wrong = torch.where(finite, (got - wide).abs() > allowed, got != wide)
    if wrong.any():
        mismatch = _different_values(expected, actual, wrong, where)
        errors = torch.where(wrong & finite, (got - wide).abs(), torch.zeros_like(wide))
        mismatch.place["map"] = _map(errors.masked_fill(wrong & ~finite, math.inf), _first(wrong), float(rms))
        if errors.any():  # where infinity was expected, a difference says nothing
            worst = _first(errors == errors.max())
            largest, limit = float(errors.max()), float(allowed[tuple(worst)])
            mismatch.add(f"largest difference {largest:.3g} at {worst} (allowed there: {limit:.3g})")
            mismatch.place["largest"] = {"difference": largest, "allowed": limit, "index": worst}
        raise mismatch
    if tolerance.typical is not None and finite.any():
        _compare_typical(float((got - wide)[finite].square().mean().sqrt()), float(rms), tolerance.typical, where)


def _compare_typical(off: float, rms: float, typical: float, where: str) -> None:
    """Raise `Mismatch` where values that are all close to what they should be are too far from it on the whole."""
    if off <= typical * rms:
        return
    message = (
        f"{where}: every value is close, but all together are less precise than they should be\n"
        f"the differences are {off / rms:.2g} of the size of the values (root mean squares; allowed: {typical:.2g})"
        if rms
        else f"{where}: expected zeros, got values of the size {off:.2g} (root mean square)"
    )
    raise Mismatch(message, where, "value")


def _map(errors: torch.Tensor, index: list[int], size: float) -> dict[str, Any] | None:
    """Where a tensor differs, in the matrix of its last two dimensions that holds `index`; None where it has no rows.

    A cell is the largest difference in a block of values, as one digit, which tells nobody the expected value: 0 is
    right, 1 less than a tenth of the typical value, 2 less than it, 3 more or no number.

    Args:
        errors: differences of any shape, 0 where a value is right; size: the typical value, a root mean square.
    """
    if errors.ndim == 0:
        return None
    matrix = errors[tuple(index[:-2])].reshape(-1, errors.shape[-1])
    rows, columns = matrix.shape
    high, wide = math.ceil(rows / _CELLS), math.ceil(columns / _CELLS)
    padded = torch.nn.functional.pad(matrix, (0, -columns % wide, 0, -rows % high))
    worst = padded.unflatten(1, (-1, wide)).unflatten(0, (-1, high)).amax(dim=(1, 3))
    levels = (worst > 0).int() + (worst > size / 10).int() + (worst > size).int()
    cells = ["".join(map(str, row)) for row in levels.tolist()]
    return {"at": index[:-2], "rows": rows, "columns": columns, "cells": cells}


def _different_values(expected: torch.Tensor, actual: torch.Tensor, wrong: torch.Tensor, where: str) -> Mismatch:
    index = _first(wrong)
    want, got = expected[tuple(index)], actual[tuple(index)]
    count, of = int(wrong.sum()), wrong.numel()
    return Mismatch(
        f"{where}: {count} of {of} values differ\n"
        f"first difference at {index}: expected {_value(want)}, got {_value(got)}",
        where,
        "value",
        want.item(),
        got.item(),
        {"index": index, "differing": count, "of": of},
    )


def _compare_dicts(expected: dict, actual: Any, tolerance: Tolerance, where: str) -> None:
    if not isinstance(actual, dict):
        raise _type_mismatch("a dict", actual, where)
    missing = [key for key in expected if key not in actual]
    extra = [key for key in actual if key not in expected]
    if missing or extra:
        said = [
            f"{len(keys)} key{'s' * (len(keys) > 1)} {what}, the first {keys[0]!r}"
            for keys, what in ((missing, "missing"), (extra, "too many"))
            if keys
        ]
        first_missing, first_extra = (repr(keys[0]) if keys else None for keys in (missing, extra))
        raise Mismatch(f"{where}: {'; '.join(said)}", where, "keys", first_missing, first_extra)
    if plainly_equal(expected, actual):
        return
    for key, value in expected.items():
        compare(value, actual[key], tolerance, f"{where}[{key!r}]")


def _compare_sequences(expected: Any, actual: Any, tolerance: Tolerance, where: str) -> None:
    if type(actual) is not type(expected):
        raise _type_mismatch(f"a {type(expected).__name__}", actual, where)
    if plainly_equal(expected, actual):
        return
    for i, (want, got) in enumerate(zip(expected, actual, strict=False)):
        compare(want, got, tolerance, f"{where}[{i}]")
    if len(actual) != len(expected):
        raise Mismatch(
            f"{where}: expected {len(expected)} items, got {len(actual)}; they agree up to the end of the shorter one",
            where,
            "length",
            len(expected),
            len(actual),
            {"index": [min(len(expected), len(actual))]},
        )


def _compare_numbers(expected: float, actual: Any, tolerance: Tolerance, where: str) -> None:
    if isinstance(actual, torch.Tensor) and actual.ndim == 0:
        actual = actual.item()
    if not isinstance(actual, numbers.Real) or isinstance(actual, bool):
        raise _type_mismatch("a float", actual, where)
    got = float(actual)
    if got == expected:
        return
    if not math.isfinite(got) or abs(got - expected) > 2 * tolerance.relative * abs(expected) + tolerance.absolute:
        raise Mismatch(f"{where}: expected {expected:.9g}, got {got:.9g}", where, "value", expected, got)


def _type_mismatch(wanted: str, actual: Any, where: str) -> Mismatch:
    asked = "; is the function unwritten, or is a `return` missing?" if actual is None else ""
    return Mismatch(f"{where}: expected {wanted}, got {_name(actual)}{asked}", where, "type", wanted, _name(actual))


def _name(value: Any) -> str:
    if value is None:
        return "None"
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _different(expected: Any, actual: Any, where: str) -> Mismatch:
    """Two values of one type that are not the same; of long texts, what stands where they part."""
    if not isinstance(expected, (str, bytes)) or max(len(expected), len(actual)) <= _SHOWN:
        message = f"{where}: expected {expected!r}, got {actual!r}"
        return Mismatch(message, where, "value", _shown(expected), _shown(actual))
    at = next(
        (i for i, (a, b) in enumerate(zip(expected, actual, strict=False)) if a != b),
        min(len(expected), len(actual)),
    )
    start = max(0, at - _SHOWN // 3)
    want, got = expected[start : start + _SHOWN], actual[start : start + _SHOWN]
    message = f"{where}: first difference at position {at}: expected ...{want!r}, got ...{got!r}"
    return Mismatch(message, where, "value", want, got, {"index": [at]})


def _shown(value: Any) -> Any:
    return value if isinstance(value, (str, bytes, bool)) else repr(value)


def _first(mask: torch.Tensor) -> list[int]:
    """Index of the first true element, in row-major order."""
    return [int(i) for i in np.unravel_index(int(mask.reshape(-1).int().argmax()), tuple(mask.shape) or (1,))][
        : mask.ndim
    ]


def _value(scalar: torch.Tensor) -> str:
    return f"{scalar.item():.6g}" if scalar.is_floating_point() else str(scalar.item())
