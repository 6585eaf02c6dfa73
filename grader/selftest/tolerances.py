"""Three numbers per case: how far honest code strays, what is allowed, and how near the nearest known bug comes.

    python -m grader explain tolerances [--problem ID ...]

All three are relative tolerances in the sense of `grader.cases.compare.Tolerance`: the smallest that would let an
output pass. The truth is the reference in float64. Honest is the worst of the reference in float32 and of all honest
variants; nearest bug is the least of the misconceptions that this case is meant to tell apart, that is, of those
whose output it does not accept. What is allowed should lie between the two with room on both sides.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from grader.cases.case import Case
from grader.cases.compare import Mismatch
from grader.cases.store import stored_cases
from grader.in_process import InProcess
from grader.misconceptions.catalogue import Variant, load_catalogue

from .kill_matrix import honest_variants

ROOM = 2.0
"""The factor that should at least lie between the allowed tolerance and its neighbours."""


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

    @property
    def is_wide(self) -> bool:
        """Whether there is room on both sides."""
        return self.honest * ROOM <= self.allowed <= self.nearest / ROOM


def separations(problem: str) -> Iterator[Separation]:
    """Measure every stored case of a problem that has floating-point values in its output."""
    honest = [Variant("reference in float32", problem, {}), *honest_variants(problem)]
    wrong = load_catalogue(problem)
    for case in stored_cases(problem):
        if not any(t.is_floating_point() for t in _tensors(case.expected)):
            continue
        strayed = {variant.id: _needed(variant, case) for variant in honest}
        nearest = {variant.id: _needed(variant, case) for variant in wrong if not _accepted(variant, case)}
        worst = max(strayed, key=lambda name: strayed[name])
        least = min(nearest, key=lambda name: nearest[name], default="")
        yield Separation(
            problem,
            f"{case.group}/{case.name}",
            strayed[worst],
            worst,
            case.tolerance.relative,
            nearest.get(least, math.inf),
            least,
        )


def _output(variant: Variant, case: Case) -> Any:
    with variant.planted():
        return InProcess(importlib.import_module("grader.reference.adapters")).perform(case.operation, case.inputs)


def _accepted(variant: Variant, case: Case) -> bool:
    try:
        case.check(_output(variant, case))
    except Mismatch:
        return False
    except Exception:  # a wrong variant may raise whatever it likes; that is no accepted output
        return False
    return True


def _needed(variant: Variant, case: Case) -> float:
    """The smallest relative tolerance under which a variant's output passes; infinite when none does."""
    try:
        actual = _output(variant, case)
    except Exception:  # as above
        return math.inf
    return min(needed_tolerance(answer, actual) for answer in (case.expected, *case.other_answers()))


def needed_tolerance(expected: Any, actual: Any) -> float:
    """The smallest `Tolerance.relative` under which `compare` accepts, taken over all tensors of two outputs."""
    wanted, given = list(_tensors(expected)), list(_tensors(actual))
    if len(wanted) != len(given):
        return math.inf
    return max((_needed_by(want, got) for want, got in zip(wanted, given, strict=True)), default=0.0)


def _needed_by(expected: torch.Tensor, actual: torch.Tensor) -> float:
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return math.inf
    if not expected.is_floating_point():
        return 0.0 if torch.equal(expected, actual) else math.inf
    wide, got = expected.double(), actual.double()
    finite = torch.isfinite(wide)
    if not torch.equal(got[~finite], wide[~finite]) or not torch.isfinite(got[finite]).all():
        return math.inf
    wide, got = wide[finite], got[finite]
    if not wide.numel() or torch.equal(wide, got):
        return 0.0
    scale = wide.abs() + wide.square().mean().sqrt()
    return float(((got - wide).abs() / scale).nan_to_num(nan=0.0, posinf=math.inf).max())


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for key in sorted(value, key=repr):
            yield from _tensors(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
