"""Short expressions over what a formula passes through: "your output is W1 x times W3 x"."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .change import EXPRESSION, Change, Formulas, Given

_MOST_QUANTITIES = 14

_OF_ONE = {
    "{}": lambda a: a,
    "-({})": torch.neg,
    "sigmoid({})": torch.sigmoid,
    "e to the power of ({})": torch.exp,
    "log({})": torch.log,
    "({}) squared": torch.square,
    "√({})": torch.sqrt,
    "1 / ({})": torch.reciprocal,
    "tanh({})": torch.tanh,
    "ReLU({})": torch.relu,
    "softmax({})": lambda a: a.softmax(-1),
    "the transpose of ({})": lambda a: a.transpose(-1, -2),
    "the mean of ({}) over the last dimension": lambda a: a.mean(-1, keepdim=True),
    "the sum of ({}) over the last dimension": lambda a: a.sum(-1, keepdim=True),
    "the mean of ({})": torch.mean,
    "the sum of ({})": torch.sum,
}
_OF_TWO = {
    "({}) + ({})": torch.add,
    "({}) - ({})": torch.sub,
    "({}) times ({}), element by element": torch.mul,
    "({}) divided by ({})": torch.div,
    "the matrix product of ({}) and ({})": torch.matmul,
    "the matrix product of ({}) and the transpose of ({})": lambda a, b: a @ b.transpose(-1, -2),
}

_ELEMENTWISE = (torch.add, torch.sub, torch.mul, torch.div)


def quantities(formulas: Formulas, operation: str, given: Given) -> dict[str, Tensor]:
    """{name: value} of what the formula is given and passes through once, but its output."""
    output, gave = formulas.evaluate(operation, given)
    named: dict[str, Any] = {word: given[name] for name, word in formulas.of[operation].names.items()}
    named |= {words: values[0] for words, values in gave.items() if len(values) == 1}
    kept = {
        words: value
        for words, value in named.items()
        if isinstance(value, Tensor) and value.is_floating_point() and value is not output
    }
    return dict(itertools.islice(kept.items(), _MOST_QUANTITIES))


def expressions(formulas: Formulas, operation: str, given: Given, shape: torch.Size | None = None) -> Iterator[Change]:
    """What the formula passes through, and functions of one or two of these quantities; the simplest first.

    Args:
        shape: of two quantities only those functions that have it; all by default.
    """
    latest: list[tuple[Given, dict[str, Tensor]]] = []

    def found_in(given: Given) -> dict[str, Tensor]:
        if not latest or latest[0][0] is not given:
            latest[:] = [(given, quantities(formulas, operation, given))]
        return latest[0][1]

    def over(function: Any, *names: str) -> Any:
        return lambda _, given: function(*(found_in(given)[name] for name in names))

    found = found_in(given)
    names = list(found)
    for template, function in _OF_ONE.items():
        for name in names:
            words = template.format(name) if template != "{}" else name
            yield Change(EXPRESSION, over(function, name), words)
    for template, function in _OF_TWO.items():
        for one, other in itertools.permutations(names, 2):
            if function in (torch.add, torch.mul) and one > other:
                continue
            if shape is not None and _shape(function, found[one].shape, found[other].shape) != shape:
                continue
            yield Change(EXPRESSION, over(function, one, other), template.format(one, other))


def _shape(function: Any, one: torch.Size, other: torch.Size) -> torch.Size | None:
    """Of a function of two tensors; None where they do not fit."""
    if function in _ELEMENTWISE:
        return _broadcast(one, other)
    if len(one) < 2 or len(other) < 2:
        return None
    inner, outer = (other[-2], other[-1]) if function is torch.matmul else (other[-1], other[-2])
    leading = _broadcast(one[:-2], other[:-2])
    return torch.Size((*leading, one[-2], outer)) if leading is not None and one[-1] == inner else None


def _broadcast(one: Sequence[int], other: Sequence[int]) -> torch.Size | None:
    pairs = itertools.zip_longest(reversed(one), reversed(other), fillvalue=1)
    sizes = [max(a, b) if a == b or 1 in (a, b) else -1 for a, b in pairs]
    return None if -1 in sizes else torch.Size(reversed(sizes))
