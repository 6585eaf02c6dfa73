"""Formulas whose steps can be changed, and the changes.

A formula is a function of its adapter's arguments that takes every step by name. A *change* puts something else in
the place of one step, of the arguments or of the output, and has the words that a student reads. A *hypothesis* is a
few changes together; what it would give is computed, so what is said of it is true.
"""

from __future__ import annotations

import functools
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
        self, operation: str, given: Given, hypothesis: Hypothesis = (), known: Evaluated | None = None
    ) -> tuple[Tensor, dict[str, list[Any]]]:
        """What a formula gives when it is changed so, and {what a step gives: what it gave, each time}.

        Raises whatever comes of a change that does not fit these arguments.

        Args:
            known: an evaluation for the same arguments. What its changes leave as it is here is taken from there, and
                not among what steps gave.
        """
        for change in hypothesis:
            if change.place == GIVEN:
                given = change.does(given)
        *_, last = hypothesis or (None,)
        if last is not None and last.place == EXPRESSION:
            return last.does(None, given), {}
        steps = Evaluation(self, _of_steps(hypothesis), known)
        if known is not None and not steps.differs and known.given is given:
            output = known.output
        else:
            output = self.of[operation].compute(steps, **given)
        for change in hypothesis:
            if change.place == OUTPUT:
                output = change.does(output, given)
        return output, steps.gave

    def kept(
        self, operation: str, given: Given, hypothesis: Hypothesis = (), known: Evaluated | None = None
    ) -> Evaluated:
        """An evaluation that others can be continued from: `hypothesis` changes steps only."""
        steps = Evaluation(self, _of_steps(hypothesis), known, keeps=True)
        output = self.of[operation].compute(steps, **given)
        return Evaluated(given, steps.changes, output, steps.results, steps.arguments)

    def neutral(self, operation: str) -> Sequence[Change]:
        """The neutral changes of a formula and of what it is made of."""
        return self._neutral(operation)

    @functools.cache  # noqa: B019  (there is one collection of formulas, and it is never taken down)
    def _neutral(self, operation: str) -> tuple[Change, ...]:
        return tuple(change for name in (operation, *self.below(operation)) for change in self.of[name].neutral)

    def below(self, operation: str) -> list[str]:
        """The operations that one is made of, directly or not; those that others are made of come last."""
        found: dict[str, None] = {}
        for part in self.of[operation].parts:
            found |= dict.fromkeys([part, *self.below(part)])
        return list(found)

    @functools.cache  # noqa: B019
    def places_in(self, operation: str) -> frozenset[str]:
        """The operation, its steps, and those of all that it is made of."""
        within = (operation, *self.below(operation))
        return frozenset(within).union(*(self.of[name].steps for name in within))


@dataclass(frozen=True, eq=False)
class Evaluated:
    """An evaluation that is kept.

    given: its arguments; changes: {step or operation: what stands in its place}; output; results: {which step or
    operation, of which arguments: what it gave}; arguments: those, which keeps what they are told apart by from being
    used again.
    """

    given: Given
    changes: Mapping[str, Callable[..., Any]]
    output: Tensor
    results: Mapping[Any, Any]
    arguments: Sequence[Any]

    @property
    def size(self) -> int:
        """How many numbers it keeps."""
        return sum(value.numel() for value in self.results.values() if isinstance(value, Tensor))


def _of_steps(hypothesis: Hypothesis) -> dict[str, Callable[..., Any]]:
    return {change.place: change.does for change in hypothesis if change.place not in (GIVEN, OUTPUT, EXPRESSION)}


class Evaluation:
    """The steps of one evaluation as methods, some of them changed; takes note of what each gave.

    Args:
        known: see `Formulas.evaluate`. keeps: whether to keep all results.

    A step is a function of its arguments: of the very arguments that it was given in `known` it gives what it gave.
    """

    def __init__(
        self,
        formulas: Formulas,
        changes: Mapping[str, Callable[..., Any]],
        known: Evaluated | None = None,
        keeps: bool = False,
    ) -> None:
        self._formulas = formulas
        self._known = known.results if known is not None else {}
        self._keeps = keeps
        self.changes = changes
        self.differs = {
            place
            for place in (*changes, *(known.changes if known is not None else ()))
            if known is None or changes.get(place) is not known.changes.get(place)
        }
        self.gave: dict[str, list[Any]] = {}
        self.results: dict[Any, Any] = {}
        self.arguments: list[Any] = []

    def part(self, operation: str, /, **given: Any) -> Any:
        """What another formula gives, of which this one is made."""
        instead = self.changes.get(operation)
        compute = instead if instead is not None else functools.partial(self._formulas.of[operation].compute, self)
        if not self._keeps and (not self._known or not self.differs.isdisjoint(self._formulas.places_in(operation))):
            return compute(**given)
        names, values = tuple(given), tuple(given.values())
        return self._once((operation, names), values, lambda *_: compute(**given), self._formulas.places_in(operation))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        step = self._formulas.steps[name]
        does = self.changes.get(name, step.does)

        def take(*arguments: Any) -> Any:
            value = self._once(name, arguments, does, (name,))
            self.gave.setdefault(step.gives, []).append(value)
            return value

        return take

    def _once(self, what: Any, arguments: Sequence[Any], does: Callable[..., Any], places: Iterable[str]) -> Any:
        """What it gives, from `known` if it is there."""
        is_known = bool(self._known) and self.differs.isdisjoint(places)
        if not self._keeps and not is_known:
            return does(*arguments)
        key = (what, *map(_identity, arguments))
        value = self._known[key] if is_known and key in self._known else does(*arguments)
        if self._keeps:
            self.results[key] = value
            self.arguments.append(arguments)
        return value


_FEW_INTEGERS = 64


def _identity(value: Any) -> Any:
    """What tells an argument from others: numbers and positions by what they are, anything else by being that one."""
    if isinstance(value, Tensor):
        if value.dtype.is_floating_point or value.numel() > _FEW_INTEGERS:
            return id(value)
        return value.dtype, value.shape, value.numpy().tobytes()
    return (type(value), value) if isinstance(value, (int, float, str)) else id(value)


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
