"""Gradient clipping: which norm, which factor, and which tensors the student's code takes instead."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...scoring.outcome import Clue
from ...submission.interface import Submission
from .asking import NONE, Asker, tries
from .ways import Explanation, Steps, Way, explanations, sentences, told_apart

if TYPE_CHECKING:
    from ..clues import Failure

Clipped = tuple[list[torch.Tensor | None], list[torch.Tensor]]
"""Gradients and parameters afterwards."""

_TRIES = 2_000
_CLOSE = 1e-5

_OTHER_EPS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-7, 1e-8)

WAYS = (
    Way("norm", "each its own", "Your code clips each gradient by its own norm; the norm is that of all together."),
    Way("norm", "sum of norms", "Your norm is the sum of the gradients' norms: of 3 and 4 it is 7, and should be 5."),
    Way("norm", "greatest norm", "Your norm is the greatest of the gradients' norms; it is that of all together."),
    Way("norm", "of the first", "Your norm is that of the first gradient only; it is that of all together."),
    Way("norm", "of the last", "Your norm is that of the last gradient only; it is that of all together."),
    Way("norm", "squared", "Your norm lacks the square root: it is the sum of the squares."),
    Way("norm", "l1", "Your norm is the sum of absolute values; the l2 norm is the root of the sum of squares."),
    Way(
        "norm",
        "greatest element",
        "Your norm is the greatest absolute value; the l2 norm is the root of the sum of squares.",
    ),
    Way("norm", "root mean square", "Your norm is the root of the mean of the squares; it is the root of their sum."),
    Way("norm", "eps under the root", "Your norm has the eps under the root; it is added to the norm."),
    Way("norm", "of the parameters", "Your norm is that of the parameters; it is that of their gradients."),
    Way("factor", "upside down", "Your factor is norm / limit, which makes long gradients longer; it is limit / norm."),
    Way("factor", "without limit", "Your factor is 1 / norm; it is limit / norm."),
    Way("factor", "no eps", "Your factor is limit / norm; the assignment's is limit / (norm + 1e-6)."),
    *(Way("factor", f"eps {eps:g}", f"Your eps beside the norm is {eps:g}; it is 1e-6.") for eps in _OTHER_EPS),
    Way("factor", "root", "Your factor is the square root of limit / norm."),
    Way("factor", "squared", "Your factor is applied twice: each gradient is scaled by (limit / norm)^2."),
    Way("factor", "zero", "Your code sets gradients beyond the limit to zero; scale them down to it."),
    Way(
        "condition", "always", "Your code scales every time; a norm within the limit leaves the gradients as they are."
    ),
    Way("condition", "never", "Your code leaves the gradients as they were: write to parameter.grad in place (mul_)."),
    Way("condition", "reversed", "Your code scales gradients within the limit and leaves those beyond it."),
    Way(
        "scaled",
        "the long ones",
        "Your code scales only gradients whose own norm exceeds the limit; one factor scales all.",
    ),
    Way("scaled", "the first", "Your code scales the first gradient only; one factor scales all."),
    Way("scaled", "parameters", "Your code scales the parameters; it is their gradients that are clipped."),
    Way("scaled", "clamped", "Your code clamps each element to the limit; all are scaled by one factor."),
)


def _clipped(inputs: Mapping[str, Any], ways: Explanation) -> Clipped:
    way = Steps(ways)
    parameters = [parameter.double() for parameter in inputs["parameters"]]
    gradients = [None if gradient is None else gradient.double() for gradient in inputs["gradients"]]
    limit = inputs["max_l2_norm"]
    present = [gradient for gradient in gradients if gradient is not None]
    if not present:
        return gradients, parameters
    with_gradient = [one for one, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
    joint = _norm(with_gradient if way["norm"] == "of the parameters" else present, way["norm"])

    def scaled(tensor: torch.Tensor, norm: float, number: int) -> torch.Tensor:
        if way["scaled"] == "the long ones" and float(tensor.norm()) <= limit:
            return tensor
        if way["scaled"] == "the first" and number:
            return tensor
        within = (norm <= limit) != (way["condition"] == "reversed")
        if way["condition"] == "never" or (within and way["condition"] != "always"):
            return tensor
        if way["scaled"] == "clamped":
            return tensor.clamp(-limit, limit)
        return tensor * _factor(limit, norm, way["factor"])

    if way["scaled"] == "parameters":
        return gradients, [scaled(parameter, joint, i) for i, parameter in enumerate(parameters)]
    found: list[torch.Tensor | None] = []
    for gradient in gradients:
        if gradient is None:
            found.append(None)
            continue
        norm = float(gradient.norm()) if way["norm"] == "each its own" else joint
        found.append(scaled(gradient, norm, sum(one is not None for one in found)))
    return found, parameters


def _norm(tensors: Sequence[torch.Tensor], way: str) -> float:
    elements = torch.cat([tensor.reshape(-1) for tensor in tensors])
    squares = float(elements.square().sum())
    norms = [float(tensor.norm()) for tensor in tensors]
    match way:
        case "sum of norms":
            return sum(norms)
        case "greatest norm":
            return max(norms)
        case "of the first":
            return norms[0]
        case "of the last":
            return norms[-1]
        case "squared":
            return squares
        case "l1":
            return float(elements.abs().sum())
        case "greatest element":
            return float(elements.abs().max())
        case "root mean square":
            return math.sqrt(squares / elements.numel())
        case "eps under the root":
            return math.sqrt(squares + 1e-6)
    return math.sqrt(squares)


def _factor(limit: float, norm: float, way: str) -> float:
    factor = limit / (norm + float(way.removeprefix("eps ") if way.startswith("eps ") else 1e-6))
    match way:
        case "upside down":
            return norm / (limit + 1e-6)
        case "without limit":
            return 1 / (norm + 1e-6)
        case "no eps":
            return limit / norm if norm else 1.0
        case "root":
            return math.sqrt(factor)
        case "squared":
            return factor**2
        case "zero":
            return 0.0
    return factor


# --- the clue --------------------------------------------------------------------------------------------------------

_A, _B = torch.tensor([[0.6, -1.5], [2.0, 0.4]]), torch.tensor([0.3, -0.2, 0.1])
_PROBES = tuple(
    {"parameters": [5 * _B, _A.flip(0), _B], "gradients": gradients, "max_l2_norm": limit}
    for gradients, limit in (
        ([_B, _A, 3 * _B], 1.5),
        ([_B, _A, 3 * _B], 0.05),
        ([_B, _A, 3 * _B], 4.0),
        ([_B * 1e-3, _A * 1e-3, _B * 1e-3], 5e-4),
    )
)


def find(failure: Failure, submission: Submission) -> Clue | None:
    """Which clipping gives the student's gradients."""
    if failure.bug:
        return None
    given = [
        (arguments, (answer["gradients"], answer["parameters"]))
        for (operation, arguments), answer in zip(failure.asked, failure.answers, strict=False)
        if operation == "clip" and isinstance(answer, dict)
    ]
    wrong = [(inputs, clipped) for inputs, clipped in given if not _same(_clipped(inputs, ()), clipped)]
    if not wrong:
        return None
    found = explanations(
        WAYS,
        lambda ways: all(_same(_clipped(inputs, ways), clipped) for inputs, clipped in [*wrong, *given]),
        tries(submission, __name__, _TRIES),
    )
    ask = Asker(submission)

    def answer(question: Any) -> Any:
        said = ask.perform("clip", question)
        return NONE if said is NONE else _Approximately((said["gradients"], said["parameters"]))

    found = told_apart(found, _PROBES, lambda ways, probe: _Approximately(_clipped(probe, ways)), answer)
    return Clue.of_cause(*sentences(found))


class _Approximately:
    """Compares as equal up to rounding."""

    def __init__(self, clipped: Clipped) -> None:
        self.clipped = clipped

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Approximately) and _same(self.clipped, other.clipped)

    __hash__ = None  # type: ignore[assignment]


def _same(one: Clipped, other: Clipped) -> bool:
    ours, theirs = [*one[0], *one[1]], [*other[0], *other[1]]
    return all(
        (a is None) == (b is None) and (a is None or b is None or _close(a, b))
        for a, b in zip(ours, theirs, strict=True)
    )


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and bool(((a.double() - b.double()).abs() <= _CLOSE * a.abs().max() + 1e-12).all())
