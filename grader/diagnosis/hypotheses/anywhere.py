"""Changes that any formula may suffer: arguments ignored or mistaken for each other, an output taken one step on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from .change import GIVEN, OUTPUT, Change, Formula, Given


def changes_of_arguments(formula: Formula) -> Iterator[Change]:
    """Arguments that are mistaken for each other, transposed, negated or ignored."""
    for one, other in itertools.combinations(formula.names, 2):
        a, b = formula.names[one], formula.names[other]
        yield Change(GIVEN, _put({one: other, other: one}), f"{a} and {b} are swapped")
        yield Change(GIVEN, _put({one: other}), f"{b} is used in the place of {a}, too")
        yield Change(GIVEN, _put({other: one}), f"{a} is used in the place of {b}, too")
    for name, word in formula.names.items():
        yield Change(GIVEN, _changed(name, lambda t: t.transpose(-1, -2)), f"{word} is transposed")
        if name != "in_features":
            yield Change(GIVEN, _changed(name, _poured), f"{word} is reshaped where it should be transposed")
        yield Change(GIVEN, _changed(name, torch.neg), f"{word} has the wrong sign")
        yield Change(GIVEN, _changed(name, torch.ones_like), f"{word} is ignored: ones stand in its place")
        yield Change(
            GIVEN, _changed(name, lambda t: t.transpose(0, 1)), f"the first two dimensions of {word} are swapped"
        )


def _poured(matrix: Tensor) -> Tensor:
    if matrix.ndim != 2:
        raise ValueError("no matrix")
    return matrix.reshape(matrix.T.shape).T


def _put(sources: Mapping[str, str]) -> Callable[[Given], Given]:
    def does(given: Given) -> Given:
        for name, source in sources.items():
            if given[name].shape != given[source].shape or given[name].ndim < 2:
                raise ValueError("of different shapes")
        return given | {name: given[source] for name, source in sources.items()}

    return does


def _changed(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Given], Given]:
    return lambda given: given | {name: change(given[name])}


def _on(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Given], Tensor]:
    return lambda output, given: function(output)


def changes_of_output() -> Iterator[Change]:
    """One step that follows the formula and should not."""
    for function, words in (
        (torch.neg, "the sign of the output is flipped"),
        (lambda y: y.transpose(-1, -2), "the last two dimensions of the output are swapped"),
        (lambda y: y.transpose(0, 1), "the first two dimensions of the output are swapped"),
        (lambda y: y.softmax(-1), "softmax is applied to the output"),
        (lambda y: y.log_softmax(-1), "log softmax is applied to the output"),
        (torch.relu, "ReLU is applied to the output"),
        (torch.nn.functional.silu, "SiLU is applied to the output"),
        (torch.sigmoid, "the sigmoid is applied to the output"),
        (torch.tanh, "tanh is applied to the output"),
        (torch.exp, "the exponential of the output is taken"),
        (torch.log, "the logarithm of the output is taken"),
        (torch.abs, "the absolute value of the output is taken"),
        (torch.square, "the output is squared"),
        (torch.reciprocal, "the reciprocal of the output is returned"),
        (lambda y: y.roll(1, -2), "the output is shifted by one position"),
        (lambda y: y.roll(-1, -2), "the output is shifted back by one position"),
        (lambda y: y.flip(-2), "the positions of the output are in the reverse order"),
        (lambda y: y.flip(-1), "the features of the output are in the reverse order"),
        (lambda y: y[:1].expand_as(y), "the first sequence's output stands for all sequences"),
        (lambda y: y.cumsum(-2), "the output is added up along the sequence"),
        (lambda y: y / y.sum(-1, keepdim=True), "the output is divided by its sum over the features"),
        (lambda y: y / y.norm(dim=-1, keepdim=True), "the output is divided by its length"),
        (lambda y: y - y.mean(-1, keepdim=True), "the mean of the output is subtracted"),
        (
            lambda y: y.reshape(y.transpose(-1, -2).shape).transpose(-1, -2),
            "the output is reshaped where it should be transposed",
        ),
        (
            lambda y: y.transpose(-1, -2).reshape(y.shape),
            "the output is reshaped where it should be transposed back",
        ),
        (lambda y: 2 * y, "the output is taken twice"),
        (lambda y: y / 2, "the output is halved"),
        (lambda y: y + 1, "1 is added to the output"),
        (lambda y: y - 1, "1 is subtracted from the output"),
        (torch.round, "the output is rounded to whole numbers"),
        (torch.trunc, "the output is cut off to whole numbers"),
    ):
        yield Change(OUTPUT, _on(function), words)
    yield Change(OUTPUT, _with_input, "the input is added to the output (a residual connection)")


def _with_input(output: Tensor, given: Given) -> Tensor:
    if given["in_features"].shape != output.shape:
        raise ValueError("of different shapes")
    return output + given["in_features"]


SIZES = {
    "the batch size": lambda x: x.shape[0],
    "the length of the sequence": lambda x: x.shape[-2],
    "the number of features": lambda x: x.shape[-1],
}


def changes_by_sizes(formula: Formula) -> Iterator[Change]:
    """The output times or over a size of the arguments, or its root."""
    for name, word in formula.names.items():
        for of, size in SIZES.items():
            for power, how in ((-1.0, "divided by {}"), (-0.5, "divided by the root of {}"), (1.0, "multiplied by {}"),
                               (0.5, "multiplied by the root of {}")):  # fmt: skip
                yield Change(
                    OUTPUT,
                    lambda y, given, name=name, size=size, power=power: y * math.pow(size(given[name]), power),
                    f"the output is {how.format(f'{of} (of {word})')}",
                )
