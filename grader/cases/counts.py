"""Compare what was calculated with what should have come out, and say by which factor it is off.

Counts are whole numbers, so there is nothing to tolerate but that a student may have them as floats. A dict is compared
entry by entry, and all wrong entries are named at once: which ones they are says more than by how much.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

_ROUNDING = 1e-9
"""Of the expected value: what floating-point arithmetic may do. A parameter of GPT-2 XL too many is half of it."""


def check_counts(expected: Any, found: Any, where: str, exact: bool = False) -> None:
    """Raise AssertionError unless `found` is `expected`, a number or a dict of numbers.

    Args:
        where: what was calculated for what, for messages.
        exact: ask for ints that are equal; otherwise a float that differs by rounding will do.
    """
    if not isinstance(expected, Mapping):
        complaint = _complaint(expected, found, exact)
        assert complaint is None, f"{where}: {complaint}"
        return
    assert isinstance(found, Mapping), f"{where}: expected a dict, got {_name(found)}"
    missing, extra = ([key for key in one if key not in other] for one, other in ((expected, found), (found, expected)))
    assert not missing, f"{where}: the keys {', '.join(map(repr, missing))} are missing"
    assert not extra, f"{where}: the keys {', '.join(map(repr, extra))} are not asked for"
    complaints = {key: _complaint(value, found[key], exact) for key, value in expected.items()}
    wrong = [f"  {key}: {complaint}" for key, complaint in complaints.items() if complaint is not None]
    assert not wrong, "\n".join([f"{where}: {len(wrong)} of {len(expected)} entries are wrong", *wrong])


def _complaint(expected: float, found: Any, exact: bool) -> str | None:
    """What is wrong with a number, or None."""
    if not isinstance(found, numbers.Real) or isinstance(found, bool):
        return f"expected a number, got {_name(found)}"
    if exact and not isinstance(found, numbers.Integral):
        return f"expected the int {expected:,}, got {_name(found)}"
    difference = float(abs(found - expected))  # type: ignore[operator]  # both are numbers
    allowed = 0 if exact else _ROUNDING * abs(expected)
    if difference <= allowed:
        return None
    factor = f", {found / expected:.6g} times as much" if expected and found else ""
    return f"expected {_shown(expected)}, got {_shown(found)}{factor}"


def _shown(number: Any) -> str:
    return f"{number:,}" if isinstance(number, numbers.Integral) or float(number).is_integer() else f"{number:.9g}"


def _name(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
