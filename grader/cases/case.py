"""What a case is: one operation on given inputs, and the output that is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .assets import Recipe, is_table
from .compare import Mismatch, Tolerance, compare
from .relations import relations

_NAMING = ("adapter", "factory", "wanted")
_BRIEF, _FEW = 40, 4
"""Characters of a value, and entries of a dictionary, that are shown of a case's inputs."""

Oracle = Callable[[str, dict[str, Any]], Any]
"""(operation, inputs) -> output, as the reference gives it."""


@dataclass(frozen=True, eq=False)
class Case:
    """Inputs for one operation and how its output is judged.

    name: unique within the problem, shown in the report.
    operation: an adapter (`run_rope`) or a driver (`adamw_trajectory`).
    inputs: keyword arguments, plain data.
    group: which tests use it; `@pytest.mark.cases("batched")` asks for one group.
    tolerance: for floating-point parts of the output.
    """

    name: str
    operation: str
    inputs: dict[str, Any]
    group: str = "reference"
    tolerance: Tolerance = field(default_factory=Tolerance)
    stored: bool = True
    """False for what is too large for `tests/fixtures/`: it is drawn where there is a reference, and nowhere else."""
    fresh: bool = False
    answer: Callable[[], Any] | None = None
    """Gives the expected output; stored cases know it, drawn ones ask the reference."""
    peers: tuple[Oracle, ...] = ()
    """Where a statement has more than one right reading: oracles that follow another one than the reference."""
    other_answers: Callable[[], Sequence[Any]] = tuple
    """Gives the outputs of those other readings."""

    def __repr__(self) -> str:
        """`rope case batch: run_rope(d_k=8, in_query_or_key=float32[2, 4, 8])`, as pytest shows it."""
        given = ", ".join(f"{name}={_brief(value)}" for name, value in self.inputs.items())
        return f"case {self.id}: {self.operation}({given})"

    @property
    def expected(self) -> Any:
        """The output that is right for these inputs."""
        if self.answer is None:
            raise ValueError(f"case {self.name} has no expected output; draw it through grader.cases.store")
        return self.answer()

    @property
    def about(self) -> tuple[str, ...]:
        """What the inputs of a driver say of which of the submission's functions is asked."""
        return named_in(self.inputs)

    @property
    def id(self) -> str:
        """The name under which pytest and the report show this case."""
        return f"{self.name}-fresh" if self.fresh else self.name

    def check(self, actual: Any) -> None:
        """Raise `Mismatch` unless `actual` is the expected output, or that of another right reading."""
        __tracebackhide__ = True
        expected = self.expected
        try:
            compare(expected, actual, self.tolerance)
        except Mismatch as mismatch:
            if any(self._agrees(other, actual) for other in self.other_answers()):
                return
            if mismatch.kind != "dtype":
                mismatch.add(*relations(expected, actual))
            raise

    def _agrees(self, expected: Any, actual: Any) -> bool:
        try:
            compare(expected, actual, self.tolerance)
        except Mismatch:
            return False
        return True


def named_in(inputs: dict[str, Any]) -> tuple[str, ...]:
    """The values of inputs that name a function."""
    return tuple(inputs[name] for name in _NAMING if name in inputs)


def _brief(value: Any) -> str:
    """A value in a few characters; of a tensor or array its dtype and shape."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, dict) and len(value) <= _FEW:
        return f"{{{', '.join(f'{key!r}: {_brief(item)}' for key, item in value.items())}}}"
    shown = repr(value)
    if len(shown) <= _BRIEF:
        return shown
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__


def truth(oracle: Oracle, case: Case) -> Any:
    """The expected output of a drawn case: the reference in float64, rounded to the dtype of the case's inputs.

    float32, float16 and bfloat16 inputs are widened exactly, so what rounding remains is the last one.
    """
    dtype = _floating_dtype(case.inputs)
    return _narrow(oracle(case.operation, _widen(case.inputs)), dtype)


def _floating_dtype(value: Any) -> torch.dtype | None:
    """The dtype that an output has when it follows its inputs: that of the last floating-point tensor among them."""
    if isinstance(value, torch.Tensor):
        return value.dtype if value.is_floating_point() else None
    if isinstance(value, (dict, list, tuple)) and not is_table(value):
        items = value.values() if isinstance(value, dict) else value
        found = [dtype for item in items if (dtype := _floating_dtype(item)) is not None]
        return found[-1] if found else None
    return None


def _widen(value: Any) -> Any:
    return _map_tensors(value, lambda t: t.double() if t.is_floating_point() else t)


def _narrow(value: Any, dtype: torch.dtype | None) -> Any:
    return _map_tensors(value, lambda t: t.to(dtype) if dtype is not None and t.is_floating_point() else t)


def _map_tensors(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if is_table(value):
        return value
    if isinstance(value, dict):
        return {key: _map_tensors(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_map_tensors(item, change) for item in value)
    return value


class Draw:
    """Draws inputs from one seed; the same seed gives the same inputs on every machine.

    Every problem draws from its own stream, so adding a case to one problem changes no other.
    """

    def __init__(self, seed: int, problem: str) -> None:
        self.seed = seed
        self.random = np.random.Generator(np.random.PCG64([seed, *problem.encode()]))

    def normal(self, *shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Standard normal values times `scale`."""
        return torch.from_numpy(np.asarray(self.random.standard_normal(shape) * scale)).to(dtype)

    def uniform(
        self, *shape: int, low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Values between `low` and `high`."""
        return torch.from_numpy(np.asarray(self.random.uniform(low, high, shape))).to(dtype)

    def recipe(self, *shape: int, scale: float = 1.0) -> Recipe:
        """Uniform float32 values with mean 0 and standard deviation `scale`, of which a file keeps only a number."""
        return Recipe(shape, scale, self.integer(0, 2**62))

    def integers(self, low: int, high: int, *shape: int) -> torch.Tensor:
        """int64 values from `low` up to, not including, `high`."""
        return torch.from_numpy(np.asarray(self.random.integers(low, high, shape)))

    def integer(self, low: int, high: int) -> int:
        """One int from `low` up to, not including, `high`."""
        return int(self.random.integers(low, high))

    def number(self, low: float, high: float) -> float:
        """One float between `low` and `high`."""
        return float(self.random.uniform(low, high))

    def choice(self, items: list[Any]) -> Any:
        """One of `items`."""
        return items[self.integer(0, len(items))]
