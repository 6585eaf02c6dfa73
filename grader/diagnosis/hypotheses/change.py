"""Formulas whose steps can be changed, and the changes.

A formula is a function of its adapter's arguments that takes every step by name. A *change* puts something else in
the place of one step, of the arguments or of the output, and has the words that a student reads. A *hypothesis* is a
few changes together; what it would give is computed, so what is said of it is true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

GIVEN, OUTPUT, EXPRESSION = "the arguments", "the output", "an expression"
"""The places of a change that are no step of a formula."""

Given = dict[str, Any]


@dataclass(frozen=True)
class FormulaStep:
    """One step of a formula.

    gives: what it gives, in the words of the handout; does: the function, as it should be.
    """

    gives: str
    does: Callable[..., Any]


@dataclass(frozen=True)
class Change:
    """One small change of a formula.

    place: the step or the operation in whose place it stands; or `GIVEN`, and `does` makes other arguments of the
        arguments; or `OUTPUT`, and `does` makes another output of output and arguments; or `EXPRESSION`, and
        nothing is left of the formula: `does` makes the output of None and the arguments.
    words: what the code does, to go on from "Your output is what comes out when ..."; of an expression, what it is, to
        go on from "Your output is ...".
    """

    place: str
    does: Callable[..., Any]
    words: str


Hypothesis = tuple[Change, ...]


@dataclass(frozen=True)
class Formula:
    """What an adapter computes.

    compute: from steps and the adapter's arguments to the output.
    steps: those that it takes itself; parts: the operations that it is made of, which have steps of their own.
    changes: of its steps, the likely ones first.
    draw: inputs that tell its changes from each other, of the plainest shapes first.
    title: what a student calls it.
    neutral: changes that right code may have made, and that show only beside another one, where that gives NaN.
    names: {argument: what a student calls it}, of those that may be mistaken or ignored.
    """

    operation: str
    compute: Callable[..., Any]
    steps: Mapping[str, FormulaStep]
    changes: tuple[Change, ...]
    draw: Callable[[torch.Generator], Sequence[Given]]
    title: str
    names: Mapping[str, str] = field(default_factory=dict)
    neutral: tuple[Change, ...] = ()
    parts: tuple[str, ...] = ()


class Formulas:
    """All formulas together, so that one can be part of another."""

    def __init__(self, formulas: Iterable[Formula]) -> None:
        self.of = {formula.operation: formula for formula in formulas}
        self.steps = {name: step for formula in self.of.values() for name, step in formula.steps.items()}

    def evaluate(
        self, operation: str, given: Given, hypothesis: Hypothesis = ()
    ) -> tuple[Tensor, dict[str, list[Any]]]:
        """What a formula gives when it is changed so, and {what a step gives: what it gave, each time}.

        Raises whatever comes of a change that does not fit these arguments.
        """
        steps = Evaluation(self, hypothesis)
        for change in hypothesis:
            if change.place == GIVEN:
                given = change.does(given)
        *_, last = hypothesis or (None,)
        if last is not None and last.place == EXPRESSION:
            return last.does(None, given), {}
        output = self.of[operation].compute(steps, **given)
        for change in hypothesis:
            if change.place == OUTPUT:
                output = change.does(output, given)
        return output, steps.gave

    def neutral(self, operation: str) -> list[Change]:
        """The neutral changes of a formula and of what it is made of."""
        return [change for name in (operation, *self.below(operation)) for change in self.of[name].neutral]

    def below(self, operation: str) -> list[str]:
        """The operations that one is made of, directly or not; those that others are made of come last."""
        found: dict[str, None] = {}
        for part in self.of[operation].parts:
            found |= dict.fromkeys([part, *self.below(part)])
        return list(found)


class Evaluation:
    """The steps of one evaluation as methods, some of them changed; takes note of what each gave."""

    def __init__(self, formulas: Formulas, changes: Iterable[Change] = ()) -> None:
        self._formulas = formulas
        self._changes = {change.place: change.does for change in changes}
        self.gave: dict[str, list[Any]] = {}

    def part(self, operation: str, /, **given: Any) -> Any:
        """What another formula gives, of which this one is made."""
        instead = self._changes.get(operation)
        return instead(**given) if instead is not None else self._formulas.of[operation].compute(self, **given)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        step = self._formulas.steps[name]
        does = self._changes.get(name, step.does)

        def take(*arguments: Any) -> Any:
            value = does(*arguments)
            self.gave.setdefault(step.gives, []).append(value)
            return value

        return take


def widened(value: Any) -> Any:
    """With floating-point tensors in float64."""
    if isinstance(value, Tensor):
        return value.detach().double() if value.is_floating_point() else value.detach()
    if isinstance(value, dict):
        return {key: widened(item) for key, item in value.items()}
    return value


def go_together(one: Change, other: Change) -> bool:
    """Whether two changes can stand in one hypothesis."""
    return one is not other and (one.place != other.place or one.place in (GIVEN, OUTPUT))


def normal(generator: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    """Standard normal float32 values times `scale`."""
    return torch.randn(shape, generator=generator) * scale
