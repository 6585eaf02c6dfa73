"""Cases for attention with normalised queries and keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import draw_weights

ADAPTER = "run_qk_norm_attention"
TOLERANCE = Tolerance(5e-5)
_PROJECTIONS = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight")


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(
        x: torch.Tensor, num_heads: int = 2, theta: float | None = None, eps: float = 1e-6, **more: Any
    ) -> dict[str, Any]:
        d_model = x.shape[-1]
        gains = dict.fromkeys(("q_norm_weight", "k_norm_weight"), (d_model // num_heads,))
        weights = draw_weights(draw, {**dict.fromkeys(_PROJECTIONS, (d_model, d_model)), **gains})
        # Gains far from each other: what commutes with a rotation is their absence.
        weights |= {name: 2 * weights[name] for name in gains}
        sizes = {"d_model": d_model, "num_heads": num_heads, "max_seq_len": 16, "theta": theta, "eps": eps}
        return {**sizes, **weights, "in_features": x, "token_positions": None, **more}

    def case(name: str, given: dict[str, Any], group: str) -> Case:
        return Case(name, ADAPTER, given, group, TOLERANCE)

    yield case("two_sequences", inputs(draw.normal(2, 1, 8), theta=100.0), "one_token")
    yield case("batch", inputs(draw.normal(2, 5, 8)), "without_rope")
    yield case("one_head", inputs(draw.normal(1, 4, 6), num_heads=1), "without_rope")
    yield case("small_input", inputs(draw.normal(1, 4, 8, scale=0.1)), "without_rope")
    yield case("batch_with_rope", inputs(draw.normal(2, 5, 8), theta=100.0), "rope")
    positions = torch.tensor([3, 4, 9, 1])
    yield case("positions", inputs(draw.normal(2, 4, 8), 2, 50.0, token_positions=positions), "rope")
    yield case("four_heads", inputs(draw.normal(1, 3, 8), num_heads=4, theta=10.0), "rope")

    yield case("large_eps", inputs(draw.normal(1, 4, 8), eps=0.5), "eps")
    given = {"adapter": ADAPTER, "inputs": inputs(draw.normal(1, 4, 8), theta=100.0), "wrt": ["in_features"]}
    yield Case("rope", "gradients", {**given, "cotangent": draw.normal(1, 4, 8)}, "gradients", Tolerance(1e-4))
