"""Cases for activation functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance

_NAMES = ("relu", "squared_relu", "gelu", "gelu_tanh", "swish", "elu", "selu")


def generate(draw: Draw) -> Iterator[Case]:
    def both_signs(*shape: int, low: float = 0.1, high: float = 3.0) -> torch.Tensor:
        """Away from 0, where derivatives of some functions jump."""
        signs = draw.integers(0, 2, *shape) * 2 - 1
        return draw.uniform(*shape, low=low, high=high) * signs

    def case(name: str, which: str, x: torch.Tensor, group: str, tolerance: float = 2e-5, **options: Any) -> Case:
        return Case(
            name, "run_activation", {"function": which, "in_features": x, **options}, group, Tolerance(tolerance)
        )

    for which in _NAMES:
        yield case(f"{which}_values", which, both_signs(2, 3, 4), which)
        zero = torch.cat([torch.zeros(1), draw.normal(5, scale=1e-2)])
        yield case(f"{which}_around_zero", which, zero, which)
    yield case("swish_beta", "swish", draw.normal(3, 4), "swish", beta=draw.number(0.3, 0.6))
    yield case("swish_sharp", "swish", draw.normal(3, 4), "swish", beta=draw.number(3, 5))
    yield case("elu_alpha", "elu", both_signs(3, 4), "elu", alpha=draw.number(0.3, 0.6))

    # e^200 is infinite in float32, and so is the cube of 1e14.
    for which in _NAMES:
        sizes = torch.tensor([-200.0, -80.0, -15.0, 15.0, 80.0, 200.0])
        far = (sizes * draw.uniform(6, low=0.9, high=1.0)).reshape(2, 3)
        yield case(f"{which}_far", which, far, "far")
        options = {"beta": 2.0} if which == "swish" else {"alpha": 0.5} if which == "elu" else {}
        x = torch.cat([both_signs(2, 5), torch.tensor([[170.0, 199.0]]).expand(2, 2) + draw.uniform(2, 2)], dim=1)
        arguments = {"adapter": "run_activation", "inputs": {"function": which, "in_features": x, **options}}
        yield Case(
            f"{which}_gradient",
            "gradients",
            arguments | {"wrt": ["in_features"], "cotangent": draw.uniform(2, 7, low=0.5, high=1.5)},
            "gradients",
        )

    for which in ("gelu", "squared_relu", "elu", "selu", "swish", "gelu_tanh"):
        yield case(f"{which}_float64", which, both_signs(2, 3).double(), "dtypes")
        half = both_signs(2, 4, low=0.3, high=2.0).to(torch.bfloat16)
        yield case(f"{which}_bfloat16", which, half, "dtypes", 3e-2)
    yield case("scalar", "gelu", draw.normal(), "dtypes")

    for which in _NAMES:
        given = {"function": which, "in_features": both_signs(3)}
        yield Case(f"{which}_input", "inputs_after", {"adapter": "run_activation", "inputs": given}, "untouched")
