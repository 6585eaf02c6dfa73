"""Cases for Embedding."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..case import Case, Draw


def generate(draw: Draw) -> Iterator[Case]:
    def case(
        name: str,
        token_ids: torch.Tensor,
        vocab_size: int,
        d_model: int,
        group: str = "reference",
        **changes: torch.Tensor,
    ) -> Case:
        weights = draw.normal(vocab_size, d_model)
        inputs = {"vocab_size": vocab_size, "d_model": d_model, "weights": weights, "token_ids": token_ids, **changes}
        return Case(name, "run_embedding", inputs, group)

    yield case("batch", draw.integers(0, 40, 3, 12), 40, 10)
    yield case("vectors_longer_than_vocabulary", draw.integers(0, 6, 2, 9), 6, 16)
    # A table of as many rows as columns, looked up by row and not by column.
    yield case("square_table", draw.integers(0, 12, 4, 5), 12, 12)
    yield case("one_token", draw.integers(0, 8, 1, 1), 8, 4)

    yield case("first_and_last_id", torch.tensor([[0, 29, 0], [29, 1, 28]]), 30, 6, group="every_id")
    yield case("whole_vocabulary_backwards", torch.arange(23, -1, -1).reshape(4, 6), 24, 5, group="every_id")
    yield case("one_id_repeated", torch.full((2, 7), draw.integer(0, 9)), 9, 5, group="every_id")

    yield case("sequence", draw.integers(0, 20, 11), 20, 6, group="shapes")
    yield case("three_dimensions", draw.integers(0, 20, 2, 3, 4), 20, 6, group="shapes")

    yield case("scalar", draw.integers(0, 20), 20, 6, group="corners")
    yield case("transposed_ids", draw.integers(0, 20, 5, 3).T, 20, 6, group="corners")
    yield case("transposed_table", draw.integers(0, 20, 2, 5), 20, 6, group="corners", weights=draw.normal(6, 20).T)
