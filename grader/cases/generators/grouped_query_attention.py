"""Cases for attention with shared keys and values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import draw_weights

ADAPTER = "run_grouped_query_attention"
TOLERANCE = Tolerance(5e-5)


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(
        x: torch.Tensor, num_heads: int, num_kv_heads: int, theta: float | None = None, **more: Any
    ) -> dict[str, Any]:
        d_model = x.shape[-1]
        d_kv = num_kv_heads * d_model // num_heads
        shapes = dict.fromkeys(("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight"), (d_model, d_model))
        weights = draw_weights(draw, {**shapes, **dict.fromkeys(("k_proj_weight", "v_proj_weight"), (d_kv, d_model))})
        sizes = {"d_model": d_model, "num_heads": num_heads, "num_kv_heads": num_kv_heads, "max_seq_len": 16}
        return {**sizes, "theta": theta, **weights, "in_features": x, "token_positions": None, **more}

    def case(name: str, given: dict[str, Any], group: str) -> Case:
        return Case(name, ADAPTER, given, group, TOLERANCE)

    yield case("two_of_two", inputs(draw.normal(2, 4, 8), 2, 2), "mha")
    yield case("one_of_one", inputs(draw.normal(1, 4, 4), 1, 1), "mha")
    yield case("one_of_two", inputs(draw.normal(2, 4, 8), 2, 1), "mqa")
    yield case("one_of_four", inputs(draw.normal(1, 5, 8), 4, 1), "mqa")
    yield case("two_of_four", inputs(draw.normal(2, 4, 8), 4, 2), "gqa")
    yield case("two_of_six", inputs(draw.normal(1, 4, 12), 6, 2), "gqa")
    yield case("three_of_six", inputs(draw.normal(1, 4, 12), 6, 3), "gqa")
    # With one head of each, where there is nothing to share.
    yield case("rope", inputs(draw.normal(2, 4, 6), 1, 1, 50.0), "rope")
    yield case(
        "positions", inputs(draw.normal(1, 4, 6), 1, 1, 50.0, token_positions=torch.tensor([3, 4, 9, 1])), "rope"
    )

    given = {"adapter": ADAPTER, "inputs": inputs(draw.normal(1, 4, 8), 4, 1), "wrt": ["in_features"]}
    yield Case("mqa", "gradients", {**given, "cotangent": draw.normal(1, 4, 8)}, "gradients", Tolerance(1e-4))
