"""What a new layer has to be: which parameters it registers, and how they start.

The judge's side of `worker/drivers/construction.py`. Names are the student's own, so parameters are told apart by their
shapes. What cannot be seen in a submission is not assessed (`grader.submission.faults.NothingToAssess`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..cases.case import Case, Draw
from ..cases.compare import compare
from ..submission.faults import Fault, NothingToAssess
from .initialisation import check_cut, check_spread

if TYPE_CHECKING:
    from ..submission.interface import Submission

Shape = tuple[int, ...]
GAIN = None
"""Stands for "starts at one" where a standard deviation would."""


@dataclass(frozen=True)
class New:
    """A layer as it is before weights are loaded into it.

    what: a name for messages, such as "a new Linear(150, 400)".
    moments: what its parameters were at each moment at which they may have had their first values.
    """

    what: str
    moments: Sequence[Mapping[str, Any]]

    def check_registered(self, weights: Sequence[tuple[Shape, float | None]], *, by_shape: bool = True) -> None:
        """Raise AssertionError unless exactly these parameters are registered and saved, and all of them learn.

        Weights that the student keeps joined, as one matrix for two projections, count as the two.

        Args:
            weights: shape and standard deviation of each.
            by_shape: whether shapes matter; if not, it is enough that there are as many numbers.

        Raises:
            NothingToAssess: when some are missing, and an adapter that puts modules together may keep them itself.
        """
        parameters, trainable = self.moments[0]["parameters"], self.moments[0]["trainable"]
        shapes = {name: tuple(value.shape) for name, value in parameters.items()}
        learning = {name: shape for name, shape in shapes.items() if trainable[name]}
        frozen = sorted(shapes.keys() - learning.keys())
        unsaved = Counter(shapes.values()) - Counter(map(tuple, self.moments[0]["saved"]))
        assert not unsaved, (
            f"the state dict of {self.what} lacks parameters, so that a checkpoint would lose them: {_counted(unsaved)}"
        )
        wanted, found = Counter(shape for shape, _ in weights), Counter(learning.values())
        if wanted == found:
            return
        numbers, due = sum(map(prod, learning.values())), sum(prod(shape) for shape, _ in weights)
        if numbers == due and (not by_shape or len(learning) < len(weights)):
            return
        said = f"{self.what} registers the trainable parameters {_listed(learning)}, {numbers} numbers in all"
        if frozen:
            said += f", and {', '.join(frozen)} with requires_grad=False, which would never be trained"
        missing, extra = wanted - found, found - wanted
        if missing and not self.moments[0]["whole"]:
            raise NothingToAssess(f"the adapter puts {self.what} together itself: what it registers cannot be seen")
        turned = missing and missing == Counter(shape[::-1] for shape in extra.elements())
        raise AssertionError(
            f"{said}; asked for are {len(weights)} of {due} numbers"
            + (f"; missing: {_counted(missing)}" if missing else "")
            + (f"; too many: {_counted(extra)}" if extra else "")
            + (", the transpose of what is missing: are sizes exchanged where layers are made?" if turned else "")
        )

    def check_spread(self, weights: Sequence[tuple[Shape, float | None]]) -> None:
        """Raise AssertionError unless these parameters start with the mean and spread that they should have."""
        self._at_some_moment(lambda parameters: _check_start(parameters, weights, self.what))

    def check_cut(self, shapes: Sequence[Shape]) -> None:
        """Raise AssertionError unless parameters of these shapes are cut off at three standard deviations."""

        def check(parameters: Mapping[str, Tensor]) -> None:
            for name, value in _of_shapes(parameters, shapes, self.what):
                check_cut(value, f"{name} of {self.what}")

        self._at_some_moment(check)

    def _at_some_moment(self, check: Callable[[Mapping[str, Tensor]], None]) -> None:
        complaints = []
        for moment in self.moments:
            try:
                return check(moment["parameters"])
            except AssertionError as complaint:
                complaints.append(complaint)
        raise complaints[0]


def new(submission: Submission, adapter: str, inputs: Mapping[str, Any], what: str, seed: int = 0) -> New:
    """The layer that an adapter makes, as its constructor leaves it.

    Raises:
        NothingToAssess: when the adapter makes none, or makes it from the weights that it is given.
    """
    return New(what, submission.new_parameters(adapter=adapter, inputs=dict(inputs), seed=seed))


def check_own_start(
    submission: Submission, layer: New, weights: Sequence[tuple[Shape, float | None]], made_of: Sequence[str]
) -> None:
    """`New.check_spread` for what is made of other layers: a start that these have by themselves is charged there.

    Args:
        made_of: "Linear", "Embedding".

    Raises:
        NothingToAssess: when one of these starts wrong, too.
    """
    try:
        layer.check_spread(weights)
    except AssertionError:
        if wrong := [name for name in made_of if not _PARTS[name](submission)]:
            raise NothingToAssess(f"{layer.what} is made of {wrong[0]}, which starts wrong by itself") from None
        raise


def _linear_starts_right(submission: Submission) -> bool:
    draw = Draw(0, "Linear by itself")
    inputs = {"d_in": 40, "d_out": 60, "weights": draw.normal(60, 40), "in_features": draw.normal(1, 2, 40)}
    return _starts_right(submission, "run_linear", inputs, [((60, 40), (2 / 100) ** 0.5)])


def _embedding_starts_right(submission: Submission) -> bool:
    draw = Draw(0, "Embedding by itself")
    weights, ids = draw.normal(60, 40, scale=5), draw.integers(0, 60, 1, 2)
    inputs = {"vocab_size": 60, "d_model": 40, "weights": weights, "token_ids": ids}
    return _starts_right(submission, "run_embedding", inputs, [((60, 40), 1.0)])


def _starts_right(
    submission: Submission, adapter: str, inputs: Mapping[str, Any], weights: Sequence[tuple[Shape, float | None]]
) -> bool:
    """False only where a wrong start is seen: whatever else may be the matter excuses nothing."""
    try:
        new(submission, adapter, inputs, adapter).check_spread(weights)
    except Exception as error:
        return isinstance(error, Fault) or not isinstance(error, AssertionError)
    return True


_PARTS = {"Linear": _linear_starts_right, "Embedding": _embedding_starts_right}


def check_parameter_gradients(case: Case, found: Mapping[str, Tensor]) -> None:
    """Raise Mismatch unless the gradients that could be seen are right; those of other weights are not asked for."""
    expected = case.expected
    compare({name: expected[name] for name in found}, dict(found), case.tolerance, where="gradient")


def _check_start(parameters: Mapping[str, Tensor], weights: Sequence[tuple[Shape, float | None]], what: str) -> None:
    by_shape: dict[Shape, list[float | None]] = {}
    for shape, std in weights:
        by_shape.setdefault(shape, []).append(std)
    for shape, stds in by_shape.items():
        members = _of_shapes(parameters, [shape], what)
        if None in stds:
            for name, value in members:
                uneven = int((value != 1).sum())
                assert uneven == 0, f"{uneven} of the {value.numel()} gains in {name} of {what} do not start at 1"
            continue
        if len(members) != len(stds):
            continue  # one is missing, or two are joined: which is which does not show
        # Two weights of one shape that start differently, as embedding and head do, are told apart by their spread.
        spreads = sorted(members, key=lambda member: float(member[1].double().std().nan_to_num()))
        for (name, value), std in zip(spreads, sorted(s for s in stds if s is not None), strict=True):
            check_spread(value, std, f"{name} of {what}")
        same = [(a, b) for i, (a, one) in enumerate(members) for b, two in members[i + 1 :] if torch.equal(one, two)]
        assert not same, f"{same[0][0]} and {same[0][1]} of {what} start with the same numbers"


def _of_shapes(parameters: Mapping[str, Tensor], shapes: Sequence[Shape], what: str) -> list[tuple[str, Tensor]]:
    found = [(name, value) for name, value in parameters.items() if tuple(value.shape) in shapes]
    if not found:
        raise NothingToAssess(f"{what} has no parameter of shape {' or '.join(map(str, shapes))} to look at")
    return found


def _listed(shapes: Mapping[str, Shape]) -> str:
    if len(shapes) > 6:
        return f"{dict(list(shapes.items())[:6])} and {len(shapes) - 6} more"
    return str(dict(shapes)) if shapes else "(none)"


def _counted(shapes: Counter[Shape]) -> str:
    return ", ".join(f"{count} of shape {shape}" for shape, count in list(shapes.items())[:4])
