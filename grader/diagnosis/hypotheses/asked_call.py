"""What a submission was asked of one formula and what it answered, and how that compares with a hypothesis."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...submission.interface import Question
from .change import EXPRESSION, GIVEN, OUTPUT, Change, Evaluated, Given, Hypothesis, go_together, widened
from .formulas import FORMULAS

_CLOSE = 1e-4
"""So far apart, in relation to the size of the values, may two computations of one thing be in float32."""
_CLOSE_IN_HALF = {torch.float16: 4e-3, torch.bfloat16: 3e-2}
_NEARER = 10.0
"""So many times nearer to a wrong answer than the right output is what explains it."""

_FAR = 4.0
"""So many times what two computations may differ by is more than an answer's own size may explain."""
_SELDOM = 3
"""Of an answer that is predicted no more often nothing is kept."""
_KEPT = 1 << 21
"""So many numbers are kept of evaluations with one change, for those with another one besides."""

_MOST_NUMBERS = 1 << 15
"""Of the output of a call that is worth looking at: hundreds of hypotheses are computed for the same inputs."""


@dataclass(frozen=True, eq=False)
class AskedCall:
    """One call of a submission.

    question: as it was put; operation, given: the formula that it is about, with arguments in float64; answer: the
    output, or the gradients with respect to `wrt` of sum(output * cotangent); close: how near a prediction must be;
    is_refused: whether the code raised an exception instead of an answer.
    """

    question: Question
    operation: str
    given: Given
    answer: tuple[Tensor, ...]
    close: float
    wrt: tuple[str, ...] = ()
    cotangent: Tensor | None = None
    is_refused: bool = False
    _kept: _Shared = field(default_factory=lambda: _Shared())

    @property
    def is_of_adapter(self) -> bool:
        """Whether it is the adapter of the formula that was asked, and not something else of the same formula."""
        return self.question[0] not in _KERNELS

    def predicted(self, hypothesis: Hypothesis = ()) -> tuple[Tensor, ...]:
        """What the formula gives with these changes; raises whatever comes of changes that do not fit."""
        if self.cotangent is None:  # nothing given requires gradients, so that none are kept
            return (self._kept.evaluated(self.operation, self.given, hypothesis),)
        leaves = {name: self.given[name].clone().requires_grad_() for name in self.wrt}
        output, _ = FORMULAS.evaluate(self.operation, self.given | leaves, hypothesis)
        return torch.autograd.grad((output * self.cotangent).sum(), list(leaves.values()))

    def distance(self, prediction: Sequence[Tensor]) -> float:
        """How far a prediction is from the answer, in relation to the size of the values."""
        if len(prediction) != len(self.answer):
            return math.inf
        return max(map(distance, prediction, self.answer), default=math.inf)

    def agrees(self, hypothesis: Hypothesis) -> bool:
        """Whether the answer is what the formula gives with these changes."""
        try:
            prediction = self.predicted(hypothesis)
        except Exception:  # whatever a change does to arguments that it does not fit
            return self.is_refused
        return not self.is_refused and self.fits(prediction, hypothesis)

    def fits(self, prediction: Sequence[Tensor], hypothesis: Hypothesis) -> bool:
        """Whether the answer is this prediction; or, if that has NaN, the one with a neutral change besides."""
        if not self._is_far(prediction) and self.distance(prediction) <= self.close:
            return True
        neutral = FORMULAS.neutral(self.operation)
        return bool(neutral and any(part.isnan().any() for part in prediction)) and any(
            self.distance(self.predicted((*hypothesis, change))) <= self.close
            for change in neutral
            if all(go_together(change, other) for other in hypothesis)
        )

    def _is_far(self, prediction: Sequence[Tensor]) -> bool:
        """Whether one number of the answer shows that it is not this prediction: most are told apart by that."""
        for part, (shape, place, value, scale) in zip(prediction, self._spots, strict=False):
            if part.shape != shape:
                return True
            if place >= 0 and not abs(float(part.reshape(-1)[place]) - value) <= _FAR * self.close * (
                abs(value) + scale
            ):
                return True
        return False

    @functools.cached_property
    def _spots(self) -> list[tuple[torch.Size, int, float, float]]:
        """Of each part of the answer its shape, where its largest number is, that, and the root mean square."""
        found = []
        for part in self.answer:
            finite = part.isfinite()
            place = int(torch.where(finite, part, 0.0).abs().argmax()) if bool(finite.any()) else -1
            scale = float(part[finite].square().mean().sqrt()) if place >= 0 else 0.0
            found.append((part.shape, place, float(part.reshape(-1)[place]) if place >= 0 else 0.0, scale))
        return found

    def to_explain(self) -> AskedCall:
        """The same, but that a prediction must be much nearer than the right output is."""
        return replace(self, close=min(self.close, self.distance(self.predicted()) / _NEARER))

    @property
    def is_wrong(self) -> bool:
        """Whether there is an answer, and it is clearly another than the formula's."""
        if self.is_refused:
            return False
        try:
            return self.distance(self.predicted()) > self.close
        except Exception:  # arguments that the formula refuses, too
            return False


class _Shared:
    """What is kept of a call's predictions, so that steps which many hypotheses share are computed once."""

    def __init__(self) -> None:
        self._asked = 0
        self._numbers = 0
        self._of: dict[Change | None, tuple[Given, Evaluated | None] | None] = {}
        """{one change, or none: the arguments that it makes, and the evaluation with it}; None where it does not fit"""
        self._order: dict[str, int] = {}

    def evaluated(self, operation: str, given: Given, hypothesis: Hypothesis) -> Tensor:
        self._asked += 1
        if self._asked <= _SELDOM or any(change.place == EXPRESSION for change in hypothesis):
            return FORMULAS.evaluate(operation, given, hypothesis)[0]
        if None not in self._of:
            self._keep(None, operation, given)
        first = min(hypothesis, key=self._when) if len(hypothesis) > 1 else None
        if first is not None and first.place != OUTPUT:
            if first not in self._of and self._numbers < _KEPT:
                self._keep(first, operation, given)
            if (kept := self._of.get(first)) is not None:
                own, known = kept
                rest = hypothesis if own is given else tuple(change for change in hypothesis if change is not first)
                return FORMULAS.evaluate(operation, own, rest, known)[0]
        plain = self._of[None]
        return FORMULAS.evaluate(operation, given, hypothesis, plain[1] if plain is not None else None)[0]

    def _keep(self, first: Change | None, operation: str, given: Given) -> None:
        plain = self._of.get(None)
        try:
            own = first.does(given) if first is not None and first.place == GIVEN else given
            steps = () if first is None or first.place == GIVEN else (first,)
            found = FORMULAS.kept(operation, own, steps, plain[1] if plain is not None else None)
        except Exception:  # a change that does not fit these arguments, or arguments that the formula refuses
            self._of[first] = None
            return
        self._of[first] = own, found
        self._numbers += found.size
        if first is None:
            for what, *_ in found.results:
                self._order.setdefault(what if isinstance(what, str) else what[0], len(self._order))

    def _when(self, change: Change) -> int:
        """When a change first does something."""
        if change.place in (GIVEN, OUTPUT):
            return -1 if change.place == GIVEN else len(self._order) + 1
        return self._order.get(change.place, len(self._order))


def distance(one: Tensor, other: Tensor) -> float:
    """The largest difference in relation to value and root mean square; infinite where shapes or infinities differ."""
    if one.shape != other.shape:
        return math.inf
    if not one.numel():
        return 0.0
    return _apart(one.detach().numpy(), other.detach().numpy())  # whose operations begin sooner than PyTorch's


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    off = _largest(one, other)
    if math.isfinite(off):  # as are all values then
        return off
    finite = np.isfinite(one)
    if not np.array_equal(finite, np.isfinite(other)):
        return math.inf
    if not np.array_equal(np.nan_to_num(one[~finite]), np.nan_to_num(other[~finite])):
        return math.inf
    return _largest(one[finite], other[finite]) if finite.any() else 0.0


@np.errstate(all="ignore")
def _largest(one: np.ndarray, other: np.ndarray) -> float:
    size = np.abs(one) + math.sqrt(np.square(one).mean())
    return float((np.abs(one - other) / np.maximum(size, 1e-300)).max())


def asked_call(question: Question, answer: Any, tolerance: float = 0.0) -> AskedCall | None:
    """A call as evidence; None where it is about no formula, too large, or no answer came.

    Args:
        answer: the value, or the exception that the code raised.
        tolerance: how far off the test lets right answers be.
    """
    operation, arguments = question
    wrt: tuple[str, ...] = ()
    cotangent: Tensor | None = None
    if operation in _KERNELS:
        formula, given, wrt = _KERNELS[operation](arguments)
        cotangent = arguments.get("cotangent")
    elif operation in ("in_dtype", "inputs_after", "gradients"):
        formula, given = arguments["adapter"], arguments["inputs"]
        if operation == "gradients":
            wrt, cotangent = tuple(arguments["wrt"]), arguments["cotangent"]
        if operation == "inputs_after":
            answer = answer.get("output") if isinstance(answer, Mapping) else answer
    else:
        formula, given = operation, arguments
    if formula not in FORMULAS.of:
        return None
    if isinstance(answer, Exception):
        return AskedCall(question, formula, widened(dict(given)), (), 0.0, is_refused=True)
    answers = list(answer.values()) if wrt and isinstance(answer, Mapping) else [answer]
    values = [torch.as_tensor(value) if isinstance(value, (Tensor, float)) else None for value in answers]
    if any(value is None or not value.is_floating_point() or value.numel() > _MOST_NUMBERS for value in values):
        return None
    found = tuple(value.detach().double() for value in values if value is not None)
    kinds = {value.dtype for value in values if value is not None}
    close = max(_CLOSE, tolerance, *(_CLOSE_IN_HALF.get(kind, 0.0) for kind in kinds))
    wide = cotangent.double() if cotangent is not None else None
    return AskedCall(question, formula, widened(dict(given)), found, close, wrt, wide)


def _flash(arguments: dict[str, Any]) -> tuple[str, Given, tuple[str, ...]]:
    Q, K = arguments["Q"], arguments["K"]
    causal = torch.ones(Q.shape[-2], K.shape[-2], dtype=torch.bool).tril() if arguments["is_causal"] else None
    given = {"Q": Q, "K": K, "V": arguments["V"], "mask": causal}
    return "run_scaled_dot_product_attention", given, ("Q", "K", "V") if "cotangent" in arguments else ()


def _fused(arguments: dict[str, Any]) -> tuple[str, Given, tuple[str, ...]]:
    x, gain = arguments["x"], arguments["weight"]
    given = {"d_model": x.shape[-1], "eps": 1e-5, "weights": gain, "in_features": x}
    return "run_rmsnorm", given, ("in_features", "weights") if "cotangent" in arguments else ()


_KERNELS = {
    "attention_output": _flash,
    "attention_gradients": _flash,
    "fused_rmsnorm_output": _fused,
    "fused_rmsnorm_gradients": _fused,
}

_JITTERED = ("eps", "theta", "rope_theta", "temperature")


def jittered(question: Question, generator: torch.Generator) -> Question:
    """The same question with other numbers: each up to 40 % off, zeros and infinities as they were."""

    def change(value: Any, name: str = "") -> Any:
        if isinstance(value, Tensor) and value.is_floating_point() and value.ndim:
            factors = 0.6 + 0.8 * torch.rand(value.shape, generator=generator)
            return (value * factors).to(value.dtype)
        if isinstance(value, dict):
            return {key: change(item, key) for key, item in value.items()}
        return value * 1.37 if name in _JITTERED and isinstance(value, float) else value

    operation, arguments = question
    return operation, change(arguments)
