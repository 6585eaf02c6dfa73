"""What a race over tensors is: how the code is reached, what it is given, what is right, and its least work.

A race says how the worker reaches the code (`subjects`, see `worker/drivers/timing.py`), what it is given, what is
right (float64, from the formula, on a few rows that nobody knows beforehand) and what the fewest bytes and FLOPs are:
those of the operation and of the copy of its results into the judge's memory, which everybody pays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..cases.compare import Tolerance
from .statistics import Thresholds

Tensors = Mapping[str, Tensor]
Truth = Callable[[Tensors, Tensors, Tensor], Sequence[Tensor]]
"""(inputs, state, rows) -> the right values of each output at these indices of its first dimension, in float64."""


@dataclass(frozen=True)
class Drawn:
    """A tensor that is drawn anew: normal values times `scale`, or integers below `high` where that is given."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    scale: float = 1.0
    high: int = 0
    plus: float = 0.0

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * getattr(torch, self.dtype).itemsize

    def fill(self, place: Tensor, generator: torch.Generator) -> None:
        """Draw into a tensor of this shape and dtype."""
        if self.high:
            place.random_(0, self.high, generator=generator)
        else:
            place.normal_(0.0, self.scale, generator=generator)
            if self.plus:
                place.add_(self.plus)


@dataclass(frozen=True)
class Race:
    """One operation on tensors of one shape.

    state: tensors that stay the same in all calls: ready-made ones, or drawn once.
    first, checked: size of the first dimension of every output, and at how many of its indices a check looks, drawn
        when the turn is over; where first is 0 it looks at everything.
    tolerance: how far what is checked may be off.
    """

    problem: str
    tensors: str
    subjects: tuple[dict[str, Any], ...]
    inputs: Mapping[str, Drawn]
    outputs: tuple[Drawn, ...]
    truth: Truth
    thresholds: Thresholds
    tolerance: Tolerance
    first: int = 0
    checked: int = 64
    least_bytes: int = 0
    least_flops: int = 0
    product_dtype: str = "float32"
    state: Mapping[str, Drawn | Tensor] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.problem}: {self.tensors}"

    @property
    def slot_bytes(self) -> int:
        """Bytes of the inputs and outputs of one call."""
        return sum(tensor.nbytes for tensor in (*self.inputs.values(), *self.outputs))

    @property
    def all_bytes(self) -> int:
        """The fewest bytes that a call moves, the copy of its results included."""
        return self.least_bytes + 2 * sum(output.nbytes for output in self.outputs)

    def rows(self, generator: torch.Generator, device: torch.device) -> Tensor:
        """The indices that one check looks at."""
        if self.first <= self.checked:
            return torch.arange(self.first, device=device)
        return torch.randint(self.first, (self.checked,), generator=generator, device=device)
