"""Cases for SiLU and for the SwiGLU feed-forward network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(x: torch.Tensor, d_ff: int) -> dict[str, Any]:
        d_model = x.shape[-1]
        return {
            "d_model": d_model,
            "d_ff": d_ff,
            # Large enough that the sigmoid in SiLU bends, so that its place shows.
            "w1_weight": draw.normal(d_ff, d_model, scale=1.5 / math.sqrt(d_model)),
            "w2_weight": draw.normal(d_model, d_ff, scale=1 / math.sqrt(d_ff)),
            "w3_weight": draw.normal(d_ff, d_model, scale=1.5 / math.sqrt(d_model)),
            "in_features": x,
        }

    def case(name: str, x: torch.Tensor, d_ff: int, group: str = "reference") -> Case:
        return Case(name, "run_swiglu", inputs(x, d_ff), group)

    def silu(name: str, x: torch.Tensor, group: str = "silu", **options: Any) -> Case:
        return Case(name, "run_silu", {"in_features": x}, group, **options)

    yield silu("matrix", draw.normal(6, 8, scale=2))
    yield silu("both_signs", torch.tensor([[-6.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 6.0]]))
    yield silu("three_dimensions", draw.normal(2, 3, 5))
    # e^100 is beyond float32; what the formula gives is not.
    yield silu("far_out", torch.tensor([[-1e4, -200.0, -100.0, 100.0, 200.0, 1e4]]), group="silu_far_out")

    yield case("batch", draw.normal(2, 5, 12), 32)
    yield case("hidden_narrower_than_input", draw.normal(2, 5, 12), 7)
    # With equal sizes every weight fits in every place, and transposed too.
    yield case("all_sizes_equal", draw.normal(8, 8, 8), 8)
    yield case("width_not_of_the_usual_ratio", draw.normal(1, 4, 6), 50)
    yield case("large_activations", draw.normal(2, 5, 12, scale=4), 16)

    yield case("one_vector", draw.normal(10), 24, group="shapes")
    yield case("matrix", draw.normal(7, 10), 24, group="shapes")
    yield case("four_dimensions", draw.normal(2, 3, 4, 10), 24, group="shapes")

    yield case("transposed_batch", draw.normal(6, 2, 8).transpose(0, 1), 20, group="strided")
    yield case("every_other_column", draw.normal(2, 5, 16)[..., ::2], 20, group="strided")

    yield Case(
        "swiglu", "inputs_after", {"adapter": "run_swiglu", "inputs": inputs(draw.normal(2, 3, 8), 12)}, "untouched"
    )
    yield Case(
        "silu", "inputs_after", {"adapter": "run_silu", "inputs": {"in_features": draw.normal(3, 8)}}, "untouched"
    )

    differentiated = {
        "adapter": "run_swiglu",
        "inputs": inputs(draw.normal(2, 3, 8), 12),
        "wrt": ["in_features"],
        "cotangent": draw.normal(2, 3, 8),
    }
    yield Case("swiglu", "gradients", differentiated, "gradients", tolerance=Tolerance(5e-5))
