"""Three numbers per case: how far honest code strays, what is allowed, and how near the nearest known bug comes.

    python -m grader explain tolerances [--problem ID ...]

The truth is the reference in float64. All three are written as relative tolerances (`grader.cases.compare.Tolerance`):
what is allowed, times the *strain*, the factor by which the case's tolerance would have to be multiplied for an output
to be just let through. Honest is the worst of the reference in float32 and of all honest variants; the nearest bug is
the least of the misconceptions whose output the case does not accept.

Two things have to hold, and the exit code is 1 where they do not. No honest variant may come nearer to a tolerance
than a factor of `ROOM`. And every misconception that fails cases has to fail one of them by that factor, or by
something else than a value: it may be nearly harmless on some inputs, but not on all of its problem's.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from grader.cases.case import Case
from grader.cases.compare import Tolerance
from grader.cases.store import stored_cases
from grader.misconceptions.catalogue import Variant, load_catalogue
from grader.submission.in_process import InProcess

from .kill_matrix import honest_variants

ROOM, ROOM_IN_HALF_PRECISION = 3.0, 1.8
"""The factor that lies at least between a tolerance and honest code, and between it and each known bug.

What float16 and bfloat16 round away honestly and what sums kept in them lose are only a factor of ten apart.
"""

_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Separation:
    """The three numbers of one case, and the names of who gave the outer two.

    nearest is infinite when every bug that fails does so by something else than a value (a shape, an exception).
    """

    problem: str
    case: str
    honest: float
    honest_id: str
    allowed: float
    nearest: float
    nearest_id: str
    room: float = ROOM

    @property
    def is_fair(self) -> bool:
        """Whether honest code stays well inside."""
        return self.honest * self.room <= self.allowed

    @property
    def is_wide(self) -> bool:
        """Whether all bugs that fail stay well outside."""
        return self.allowed * self.room <= self.nearest


@dataclass(frozen=True)
class Measurement:
    """What the cases of one problem tell apart.

    barely_caught: {misconception: its largest strain}, of those that no case fails clearly.
    """

    problem: str
    separations: tuple[Separation, ...]
    barely_caught: dict[str, float]

    @property
    def complaints(self) -> list[str]:
        """What has to be mended: other inputs, or another tolerance."""
        return [
            *(
                f"{one.problem}, {one.case}: {one.honest_id} strays {one.honest:.1e} of {one.allowed:.1e}"
                for one in self.separations
                if not one.is_fair
            ),
            *(
                f"{self.problem}: no case fails {bug} by more than {strain:.2g} times what it allows"
                for bug, strain in self.barely_caught.items()
            ),
        ]


def measure(problem: str) -> Measurement:
    """Try all variants of a problem on its stored cases that have floating-point values in their output."""
    cases = [case for case in stored_cases(problem) if _has_floats(case.expected)]
    right = [Variant("the reference in float32", problem, {}), *honest_variants(problem)]
    wrong = load_catalogue(problem)
    strayed = {variant.id: _strains(variant, cases) for variant in right}
    # Honest variants pass all tests (the kill matrix sees to that); where one is not let through here, the test goes by
    # a rule of its own, such as one for ties, and not by the tolerance.
    cases = [case for case in cases if all(strains[_name(case)] <= 1 for strains in strayed.values())]
    failing = {
        variant.id: {name: strain for name, strain in _strains(variant, cases).items() if strain > 1}
        for variant in wrong
    }
    room = {_name(case): ROOM_IN_HALF_PRECISION if _is_half(case.expected) else ROOM for case in cases}
    separations = []
    for case in cases:
        name, allowed = _name(case), case.tolerance.relative
        worst = max(strayed, key=lambda variant: strayed[variant][name])
        strains = {bug: found[name] for bug, found in failing.items() if name in found}
        least = min(strains, key=lambda bug: strains[bug], default="")
        honest, nearest = strayed[worst][name] * allowed, strains.get(least, math.inf) * allowed
        separations.append(Separation(problem, name, honest, worst, allowed, nearest, least, room[name]))
    barely = {
        bug: max(found.values())
        for bug, found in failing.items()
        if found and all(strain < room[name] for name, strain in found.items())
    }
    return Measurement(problem, tuple(separations), barely)


def _name(case: Case) -> str:
    return f"{case.group}/{case.name}"


def _strains(variant: Variant, cases: Sequence[Case]) -> dict[str, float]:
    """{case: strain} of a variant; infinite where it gives no output, or one of another form."""
    found = {}
    with variant.planted():
        perform = InProcess(importlib.import_module("grader.reference.adapters")).perform
        for case in cases:
            try:
                actual = perform(case.operation, case.inputs)
            except Exception:  # a wrong variant may raise whatever it likes; that is no output
                found[_name(case)] = math.inf
                continue
            answers = (case.expected, *case.other_answers())
            found[_name(case)] = min(strain(answer, actual, case.tolerance) for answer in answers)
    return found


def strain(expected: Any, actual: Any, tolerance: Tolerance) -> float:
    """The factor by which a tolerance has to be multiplied for `compare` to just accept; infinite when none helps."""
    if isinstance(expected, torch.Tensor):
        return _strain_of_tensors(expected, actual, tolerance)
    if isinstance(expected, float):
        number = actual.item() if isinstance(actual, torch.Tensor) and actual.ndim == 0 else actual
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            return math.inf
        allowed = 2 * tolerance.relative * abs(expected) + tolerance.absolute
        return 0.0 if number == expected else abs(number - expected) / allowed if allowed else math.inf
    if isinstance(expected, dict):
        if not isinstance(actual, dict) or expected.keys() != actual.keys():
            return math.inf
        return max((strain(value, actual[key], tolerance) for key, value in expected.items()), default=0.0)
    if isinstance(expected, (list, tuple)):
        if type(actual) is not type(expected) or len(actual) != len(expected):
            return math.inf
        return max((strain(*pair, tolerance) for pair in zip(expected, actual, strict=True)), default=0.0)
    return 0.0 if type(actual) is type(expected) and actual == expected else math.inf


def _strain_of_tensors(expected: torch.Tensor, actual: Any, tolerance: Tolerance) -> float:
    if not isinstance(actual, torch.Tensor) or (actual.shape, actual.dtype) != (expected.shape, expected.dtype):
        return math.inf
    if not expected.is_floating_point():
        return 0.0 if torch.equal(expected, actual) else math.inf
    wide, got = expected.double(), actual.double()
    finite = torch.isfinite(wide)
    if not torch.equal(got[~finite], wide[~finite]) or not torch.isfinite(got[finite]).all():
        return math.inf
    wide, got = wide[finite], got[finite]
    if not wide.numel():
        return 0.0
    allowed = tolerance.relative * (wide.abs() + wide.square().mean().sqrt()) + tolerance.absolute
    strains = [(got - wide).abs() / allowed]
    if tolerance.typical is not None:
        strains.append((got - wide).square().mean().sqrt() / (tolerance.typical * wide.square().mean().sqrt()))
    # Where nothing is allowed and nothing differs, 0 / 0 is no strain.
    return max(float(one.nan_to_num(nan=0.0, posinf=math.inf).max()) for one in strains)


def _is_half(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_is_half, value)) if isinstance(value, (list, tuple)) else getattr(value, "dtype", None) in _HALF


def _has_floats(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.is_floating_point()
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_has_floats, value)) if isinstance(value, (list, tuple)) else isinstance(value, float)
