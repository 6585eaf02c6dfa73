"""Cases for Embedding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..assets import Recipe
from ..case import Case, Draw
from ..compare import Tolerance
from . import IN_DTYPES


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(ids: torch.Tensor, weights: torch.Tensor | Recipe) -> dict[str, Any]:
        vocab_size, d_model = weights.shape
        return {"vocab_size": vocab_size, "d_model": d_model, "weights": weights, "token_ids": ids}

    def some(vocab_size: int, *shape: int) -> torch.Tensor:
        """Ids other than the first and the last one, which are another claim's."""
        return draw.integers(1, vocab_size - 1, *shape)

    def case(
        name: str, ids: torch.Tensor, weights: torch.Tensor | Recipe, group: str = "reference", **options: Any
    ) -> Case:
        return Case(name, "run_embedding", inputs(ids, weights), group, **options)

    yield case("batch", some(40, 3, 12), draw.normal(40, 10))
    yield case("vectors_longer_than_vocabulary", some(6, 2, 9), draw.normal(6, 16))
    # A table of as many rows as columns, looked up by row and not by column.
    yield case("square_table", some(12, 4, 5), draw.normal(12, 12))
    yield case("one_token", some(8, 1, 1), draw.normal(8, 4))

    yield case("first_and_last_id", torch.tensor([[0, 29, 0], [29, 1, 28]]), draw.normal(30, 6), group="every_id")
    backwards = torch.arange(23, -1, -1).reshape(4, 6)
    yield case("whole_vocabulary_backwards", backwards, draw.normal(24, 5), group="every_id")
    repeated = torch.full((2, 7), draw.integer(0, 9))
    yield case("one_id_repeated", repeated, draw.normal(9, 5), group="every_id")

    # More rows and ids than a small training run has; an identity matrix of the rows still fits into memory.
    late = torch.tensor([[11_998, 1, 11_997, 8192, 65]])
    yield case("many_rows", late, draw.recipe(12_000, 4), group="large")
    yield case("many_ids", some(500, 6, 700), draw.recipe(500, 3), group="large")
    yield case("wide", some(5, 1, 3), draw.recipe(5, 3000), group="large")
    yield case("more_ids", some(400, 16, 512), draw.recipe(400, 24), group="large", stored=False)
    yield case("more_rows", some(13_000, 2, 9), draw.recipe(13_000, 40), group="large", stored=False)

    yield case("sequence", some(20, 11), draw.normal(20, 6), group="shapes")
    yield case("three_dimensions", some(20, 2, 3, 4), draw.normal(20, 6), group="shapes")

    yield case("scalar", some(20), draw.normal(20, 6), group="corners")
    yield case("transposed_ids", some(20, 5, 3).T, draw.normal(20, 6), group="corners")
    yield case("transposed_table", some(20, 2, 5), draw.normal(6, 20).T, group="corners")

    for name, dtype, relative in IN_DTYPES:
        given = inputs(some(9, 2, 4), draw.normal(9, 6, dtype=dtype))
        yield Case(name, "in_dtype", {"adapter": "run_embedding", "inputs": given}, "dtypes", Tolerance(relative))

    # Few ids, so that some occur again and some rows are never looked up.
    arguments = {
        "adapter": "run_embedding",
        "inputs": inputs(torch.cat([some(8, 3, 5), torch.full((3, 1), 8)], dim=1), draw.normal(10, 6)),
        "cotangent": draw.normal(3, 6, 6),
    }
    yield Case("batch", "parameter_gradients", arguments, "weight_gradients")
