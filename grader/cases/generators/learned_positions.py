"""Cases for learned positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance

ADAPTER = "run_learned_positions"


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(x: torch.Tensor, max_seq_len: int, positions: Any = None) -> dict[str, Any]:
        weight = draw.normal(max_seq_len, x.shape[-1])
        sizes = {"max_seq_len": max_seq_len, "d_model": x.shape[-1]}
        positions = None if positions is None else torch.tensor(positions)
        return {**sizes, "weight": weight, "in_features": x, "token_positions": positions}

    yield Case("batch", ADAPTER, inputs(draw.normal(2, 4, 6), 9), "added")
    yield Case("no_batch", ADAPTER, inputs(draw.normal(3, 4), 8), "added")
    yield Case("one_token", ADAPTER, inputs(draw.normal(1, 1, 4), 5), "added")
    yield Case("six_of_six", ADAPTER, inputs(draw.normal(2, 6, 4), 6), "full")
    yield Case("any_order", ADAPTER, inputs(draw.normal(2, 3, 4), 10, [9, 0, 4]), "positions")
    yield Case("later", ADAPTER, inputs(draw.normal(1, 3, 4), 8, [3, 4, 5]), "positions")
    yield Case("padded", ADAPTER, inputs(draw.normal(2, 4, 3), 8, [[0, 0, 0, 1], [0, 1, 2, 3]]), "by_sequence")
    yield Case("repeated", ADAPTER, inputs(draw.normal(2, 3, 3), 8, [[7, 7, 2], [1, 0, 7]]), "by_sequence")
    given = {"adapter": ADAPTER, "inputs": inputs(draw.normal(2, 3, 4), 5), "cotangent": draw.normal(2, 3, 4)}
    yield Case("learned", "parameter_gradients", given, "gradients", Tolerance(1e-4))
