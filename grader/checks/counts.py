"""Judge what was calculated: by which factor it is off, and whether it follows from other results.

Counts are whole numbers, so there is nothing to tolerate but that a student may have them as floats. A dict is compared
entry by entry, and all wrong entries are named at once: which ones they are says more than by how much.

Most quantities of an account are put together from others, and one mistake should not cost more than once. So what
follows from a student's own results is as good as what is right, provided that most of those are roughly right.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from typing import Any

from ..cases.case import Case

_ROUNDING = 1e-9
"""Of the expected value: what floating-point arithmetic may do. A norm of GPT-2 XL too many is far more."""

_ROUGHLY = 4
"""A part that is off by no more than this factor is good enough for something to follow from it."""


def check_account(case: Case, found: Mapping[str, Any], rule: Callable[..., Any], exact: bool = False) -> None:
    """Raise AssertionError unless what was wanted is right, or follows from the student's own parts.

    Args:
        case: one of the operation `accounted`.
        found: what that gave.
        rule: takes the parts by name and gives what follows from them.
        exact: ask for ints.
    """
    try:
        check_counts(case.expected["wanted"], found["wanted"], describe(case), exact)
    except AssertionError:
        if not follows(case, found, lambda wanted, **parts: _agree(rule(**parts), wanted, exact)):
            raise


def follows(case: Case, found: Mapping[str, Any], holds: Callable[..., bool]) -> bool:
    """Whether the student's own parts are right for the most part and `holds(wanted, **parts)`."""
    right, own = case.expected["parts"], found["parts"]
    return all(_mostly(value, own[name]) for name, value in right.items()) and holds(found["wanted"], **own)


def describe(case: Case) -> tuple[str, str]:
    """What a case asks for, and of what sizes."""
    sizes = {**case.inputs["config"], **case.inputs.get("options", {})}
    others = {
        name: value for name, value in case.inputs.items() if name not in ("config", "wanted", "options", "parts")
    }
    listed = ", ".join(f"{name} = {_shown(value)}" for name, value in {**sizes, **others}.items())
    return case.inputs.get("wanted", case.operation.removeprefix("run_")), listed


def check_counts(expected: Any, found: Any, where: tuple[str, str], exact: bool = False) -> None:
    """Raise AssertionError unless `found` is `expected`, a number or a dict of numbers.

    Args:
        where: what was calculated, and for what, for messages.
        exact: ask for ints that are equal; otherwise a float that differs by rounding will do.
    """
    what, sizes = where
    if not isinstance(expected, Mapping):
        complaint = _complaint(expected, found, exact)
        assert complaint is None, f"{what}: {complaint}\nfor {sizes}"
        return
    assert isinstance(found, Mapping), f"{what}: expected a dict, got {_name(found)}"
    missing, extra = ([key for key in one if key not in other] for one, other in ((expected, found), (found, expected)))
    assert not missing, f"{what}: the keys {', '.join(map(repr, missing))} are missing"
    assert not extra, f"{what}: the keys {', '.join(map(repr, extra))} are not asked for"
    complaints = {key: _complaint(value, found[key], exact) for key, value in expected.items()}
    wrong = [f"  {key}: {complaint}" for key, complaint in complaints.items() if complaint is not None]
    assert not wrong, "\n".join([f"{what}: {len(wrong)} of {len(expected)} entries are wrong", *wrong, f"for {sizes}"])


def _complaint(expected: float, found: Any, exact: bool) -> str | None:
    """What is wrong with a number, or None."""
    if not isinstance(found, numbers.Real) or isinstance(found, bool):
        return f"expected a number, got {_name(found)}"
    if exact and not isinstance(found, numbers.Integral):
        return f"expected the int {expected:,}, got {_name(found)}"
    difference = float(abs(found - expected))
    allowed = 0 if exact else _ROUNDING * abs(expected)
    if difference <= allowed:
        return None
    factor = f", {found / expected:.4g} times as much" if expected and found else ""
    return f"expected {_shown(expected)}, got {_shown(found)}{factor}"


def _agree(expected: Any, found: Any, exact: bool) -> bool:
    try:
        check_counts(expected, found, ("", ""), exact)
    except AssertionError:
        return False
    return True


def _mostly(right: Any, own: Any) -> bool:
    """Whether a number is roughly right, or at least half of a dict's entries are."""
    if not isinstance(right, Mapping):
        return _roughly(right, own)
    if not isinstance(own, Mapping) or not own or not own.keys() <= right.keys():
        return False
    if not all(isinstance(value, numbers.Real) for value in own.values()):
        return False
    return 2 * sum(_roughly(right[key], value) for key, value in own.items()) >= len(right)


def _roughly(right: float, own: Any) -> bool:
    return isinstance(own, numbers.Real) and right / _ROUGHLY <= float(own) <= right * _ROUGHLY


def _shown(number: Any) -> str:
    if isinstance(number, bool) or not isinstance(number, numbers.Real):
        return repr(number)  # a setting that is no number
    return f"{number:,}" if isinstance(number, numbers.Integral) or float(number).is_integer() else f"{number:.9g}"


def _name(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
