"""Cases for softmax."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from ..assets import Recipe
from ..case import Case, Draw
from ..compare import Tolerance
from . import IN_DTYPES


def generate(draw: Draw) -> Iterator[Case]:
    def case(name: str, x: torch.Tensor | Recipe, dim: int, group: str = "reference", **options: Any) -> Case:
        return Case(name, "run_softmax", {"in_features": x, "dim": dim}, group, **options)

    yield case("last_of_two", draw.normal(5, 8, scale=2), -1)
    yield case("last_of_three", draw.normal(2, 4, 7, scale=3), -1)
    yield case("one_vector", draw.normal(9, scale=2), -1)
    yield case("equal_values", draw.normal(4, 1).expand(4, 6).clone(), -1)
    yield case("one_number_per_row", draw.normal(4, 1), -1)

    # Equal sizes, so that a sum along a wrong dimension shows in the values only.
    cube = draw.normal(5, 5, 5, scale=2)
    for dim in (0, 1, 2, -1, -2, -3):
        yield case(f"dimension_{dim}".replace("-", "minus_"), cube, dim, group="dimensions")
    yield case("first_of_four", draw.normal(3, 2, 4, 2), 0, group="dimensions")
    yield case("third_of_four", draw.normal(3, 2, 4, 2), -2, group="dimensions")

    steps = draw.normal(3, 6, scale=2)
    # Neighbouring float32 numbers around 10000 are 1e-3 apart, which a difference of logarithms feels.
    coarse = Tolerance(2e-3)
    yield case("around_10000", steps + 1e4, -1, group="far_from_zero", tolerance=coarse)
    yield case("around_minus_10000", steps - 1e4, -1, group="far_from_zero", tolerance=coarse)
    # A row far below the others must not lose all its numbers to underflow.
    yield case(
        "rows_at_different_heights",
        steps + torch.tensor([[-300.0], [0.0], [300.0]]),
        -1,
        group="far_from_zero",
        tolerance=coarse,
    )
    # Less the mean, e^x of all of these fits into float32; less the minimum, it does not.
    spread = torch.linspace(-60.0, 60.0, 6) + draw.normal(3, 6)
    yield case("far_apart", spread, -1, group="far_from_zero", tolerance=coarse)
    yield case(
        "one_far_above",
        torch.cat([steps, torch.full((3, 1), 1e4)], dim=-1),
        -1,
        group="far_from_zero",
        tolerance=coarse,
    )

    # Whoever adds 40,000 terms one by one in float32 is off by 4e-5, and does what was asked.
    many = Tolerance(5e-4)
    yield case("long_row", draw.recipe(1, 12_000, scale=3), -1, group="large", tolerance=many)
    yield case("many_rows", draw.recipe(2100, 4, scale=2), -1, group="large")
    yield case("much_larger", draw.recipe(16, 40_000, scale=3), -1, group="large", tolerance=many, stored=False)
    yield case("many_more_rows", draw.recipe(120, 1100, 3, scale=2), -1, group="large", stored=False)

    # A logarithm of the sum, rounded to bfloat16 before it is subtracted, is off by some hundredths.
    in_dtypes = {name: (dtype, relative) for name, dtype, relative in IN_DTYPES}
    in_dtypes |= {"float32": (torch.float32, 2e-5), "bfloat16": (torch.bfloat16, 5e-2)}
    for name, (dtype, relative) in in_dtypes.items():
        yield case(name, draw.normal(3, 7, scale=2, dtype=dtype), -1, group="dtypes", tolerance=Tolerance(relative))

    masked = draw.normal(4, 6)
    masked[torch.tensor([0, 1, 1, 3]), torch.tensor([2, 0, 5, 1])] = -math.inf
    yield case("some", masked, -1, group="minus_infinity")
    alone = torch.full((3, 5), -math.inf)
    alone[torch.arange(3), draw.integers(0, 5, 3)] = draw.normal(3)
    yield case("all_but_one", alone, -1, group="minus_infinity")

    yield case("transposed", draw.normal(6, 4).T, -1, group="strided")
    yield case("every_other_column", draw.normal(3, 4, 10)[..., ::2], -1, group="strided")

    yield Case(
        "matrix",
        "inputs_after",
        {"adapter": "run_softmax", "inputs": {"in_features": draw.normal(3, 5), "dim": -1}},
        "untouched",
    )
    differentiated = {
        "adapter": "run_softmax",
        "inputs": {"in_features": draw.normal(3, 5), "dim": -1},
        "wrt": ["in_features"],
        "cotangent": draw.normal(3, 5),
    }
    yield Case("matrix", "gradients", differentiated, "gradients")
