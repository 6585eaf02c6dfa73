"""Cases for Linear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..assets import Recipe
from ..case import Case, Draw
from ..compare import Tolerance
from . import IN_DTYPES


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(x: torch.Tensor | Recipe, weights: torch.Tensor | Recipe) -> dict[str, Any]:
        d_out, d_in = weights.shape
        return {"d_in": d_in, "d_out": d_out, "weights": weights, "in_features": x}

    def case(
        name: str, x: torch.Tensor | Recipe, weights: torch.Tensor | Recipe, group: str = "reference", **options: Any
    ) -> Case:
        return Case(name, "run_linear", inputs(x, weights), group, **options)

    yield case("wider_output", draw.normal(2, 5, 12), draw.normal(20, 12))
    yield case("narrower_output", draw.normal(3, 4, 16), draw.normal(6, 16))
    # W and its transpose both fit, and so does every order of the dimensions.
    yield case("square", draw.normal(2, 4, 8), draw.normal(8, 8))
    yield case("all_sizes_equal", draw.normal(6, 6, 6), draw.normal(6, 6))
    yield case("one_output", draw.normal(2, 3, 5), draw.normal(1, 5))
    yield case("rows_of_zeros", torch.cat([torch.zeros(1, 3, 7), draw.normal(1, 3, 7)]), draw.normal(9, 7))

    yield case("many_vectors", draw.recipe(40, 90, 7), draw.recipe(3, 7), group="large")
    yield case("wide", draw.recipe(1, 2, 9000), draw.recipe(5, 9000), group="large")
    yield case("wide_output", draw.recipe(1, 2, 5), draw.recipe(6100, 5), group="large")
    yield case("large_values", draw.normal(2, 4, 12, scale=3e5), draw.normal(5, 12), group="large")
    yield case("much_larger", draw.recipe(8, 64, 160), draw.recipe(80, 160), group="large", stored=False)

    yield case("one_vector", draw.normal(7), draw.normal(9, 7), group="shapes")
    yield case("matrix", draw.normal(9, 6), draw.normal(5, 6), group="shapes")
    yield case("four_dimensions", draw.normal(2, 3, 4, 5), draw.normal(6, 5), group="shapes")

    yield case("transposed_batch", draw.normal(6, 2, 8).transpose(0, 1), draw.normal(5, 8), group="strided")
    yield case("transposed_input", draw.normal(2, 8, 6).transpose(1, 2), draw.normal(5, 8), group="strided")
    yield case("every_other_column", draw.normal(2, 4, 16)[..., ::2], draw.normal(5, 8), group="strided")
    yield case("transposed_weight", draw.normal(3, 4, 8), draw.normal(8, 5).T, group="strided")

    for name, dtype, relative in IN_DTYPES:
        given = inputs(draw.normal(2, 4, 12, dtype=dtype), draw.normal(5, 12, dtype=dtype))
        yield Case(name, "in_dtype", {"adapter": "run_linear", "inputs": given}, "dtypes", Tolerance(relative))

    given = inputs(draw.normal(2, 3, 6), draw.normal(4, 6))
    arguments = {"adapter": "run_linear", "inputs": given, "cotangent": draw.normal(2, 3, 4)}
    yield Case("batch", "gradients", arguments | {"wrt": ["in_features"]}, "gradients")
    yield Case("batch", "parameter_gradients", arguments, "weight_gradients")
