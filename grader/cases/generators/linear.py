"""Cases for Linear."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..case import Case, Draw


def generate(draw: Draw) -> Iterator[Case]:
    def case(name: str, x: torch.Tensor, weights: torch.Tensor, group: str = "reference") -> Case:
        d_out, d_in = weights.shape
        return Case(name, "run_linear", {"d_in": d_in, "d_out": d_out, "weights": weights, "in_features": x}, group)

    yield case("wider_output", draw.normal(2, 5, 12), draw.normal(20, 12))
    yield case("narrower_output", draw.normal(3, 4, 16), draw.normal(6, 16))
    # W and its transpose both fit, and so does every order of the dimensions.
    yield case("square", draw.normal(4, 10, 8), draw.normal(8, 8))
    yield case("all_sizes_equal", draw.normal(6, 6, 6), draw.normal(6, 6))
    yield case("one_output", draw.normal(2, 3, 5), draw.normal(1, 5))
    yield case("one_input", draw.normal(2, 3, 1), draw.normal(4, 1))
    yield case("rows_of_zeros", torch.cat([torch.zeros(1, 3, 7), draw.normal(1, 3, 7)]), draw.normal(9, 7))

    yield case("one_vector", draw.normal(7), draw.normal(9, 7), group="shapes")
    yield case("matrix", draw.normal(9, 6), draw.normal(5, 6), group="shapes")
    yield case("four_dimensions", draw.normal(2, 3, 4, 5), draw.normal(6, 5), group="shapes")

    yield case("transposed_batch", draw.normal(6, 2, 8).transpose(0, 1), draw.normal(5, 8), group="strided")
    yield case("transposed_input", draw.normal(2, 8, 6).transpose(1, 2), draw.normal(5, 8), group="strided")
    yield case("every_other_column", draw.normal(2, 4, 16)[..., ::2], draw.normal(5, 8), group="strided")
    yield case("transposed_weight", draw.normal(3, 4, 8), draw.normal(8, 5).T, group="strided")

    x, weights = draw.normal(2, 3, 6), draw.normal(4, 6)
    inputs = {"d_in": 6, "d_out": 4, "weights": weights, "in_features": x}
    arguments = {"adapter": "run_linear", "inputs": inputs, "wrt": ["in_features"], "cotangent": draw.normal(2, 3, 4)}
    yield Case("batch", "gradients", arguments, "gradients")
