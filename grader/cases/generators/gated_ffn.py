"""Cases for gated feed-forward networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw

_GATES = ("glu", "bilinear", "reglu", "geglu", "swiglu")


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(x: torch.Tensor, gate: str, d_ff: int = 10) -> dict[str, Any]:
        d_model, dtype = x.shape[-1], x.dtype
        return {
            "d_model": d_model,
            "d_ff": d_ff,
            "gate": gate,
            "w1_weight": draw.normal(d_ff, d_model, scale=0.7, dtype=dtype),
            "w2_weight": draw.normal(d_model, d_ff, scale=0.5, dtype=dtype),
            "w3_weight": draw.normal(d_ff, d_model, scale=0.7, dtype=dtype),
            "in_features": x,
        }

    for gate in _GATES:
        yield Case(f"{gate}_batch", "run_gated_ffn", inputs(draw.normal(2, 3, 6), gate), gate)
        # Where d_ff is d_model, every order of the weights fits.
        yield Case(f"{gate}_square", "run_gated_ffn", inputs(draw.normal(2, 4), gate, d_ff=4), gate)

    # All other claims on one gate, so that another gate's bug is no bug of theirs.
    yield Case("vector", "run_gated_ffn", inputs(draw.normal(6), "swiglu"), "shapes")
    yield Case("four_dimensions", "run_gated_ffn", inputs(draw.normal(2, 1, 3, 6), "swiglu"), "shapes")
    yield Case("transposed", "run_gated_ffn", inputs(draw.normal(2, 6, 3).transpose(1, 2), "swiglu"), "shapes")
    yield Case("float64", "run_gated_ffn", inputs(draw.normal(2, 6, dtype=torch.float64), "swiglu"), "shapes")

    given = {"adapter": "run_gated_ffn", "inputs": inputs(draw.normal(2, 3, 6), "swiglu")}
    yield Case("swiglu", "gradients", {**given, "wrt": ["in_features"], "cotangent": draw.normal(2, 3, 6)}, "gradients")
    yield Case(
        "swiglu",
        "inputs_after",
        {"adapter": "run_gated_ffn", "inputs": inputs(draw.normal(2, 6), "swiglu")},
        "untouched",
    )

    def width(name: str, plain: int, multiple: int, group: str) -> Case:
        return Case(name, "run_gated_d_ff", {"plain_d_ff": plain, "multiple_of": multiple}, group)

    yield width("divisible", 3 * draw.integer(100, 2000), 1, "width")
    yield width("one_over", 3 * draw.integer(100, 2000) + 1, 1, "width")
    yield width("two_over", 3 * draw.integer(100, 2000) + 2, 1, "width")
    yield width("llama_7b", 4 * 4096, 256, "multiple")
    yield width("already_a_multiple", 3 * 64 * draw.integer(2, 20), 64, "multiple")
    yield width("a_little_over", 3 * 64 * draw.integer(2, 20) + 3, 64, "multiple")
    # Two thirds are a multiple and two thirds of one: down comes before up.
    yield width("a_fraction_over", 3 * 32 * draw.integer(2, 20) + 1, 64, "multiple")
    yield width("small", 8, 16, "multiple")
