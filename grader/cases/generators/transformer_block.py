"""Cases for the Transformer block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import block_shapes, draw_weights

ADAPTER = "run_transformer_block"
# Two sublayers on end: correct implementations differ by up to 2e-6 in float32.
TOLERANCE = Tolerance(5e-5)


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(
        x: torch.Tensor, num_heads: int = 2, d_ff: int = 24, max_seq_len: int = 16, theta: float = 1e4
    ) -> dict[str, Any]:
        d_model = x.shape[-1]
        return {
            "d_model": d_model,
            "num_heads": num_heads,
            "d_ff": d_ff,
            "max_seq_len": max_seq_len,
            "theta": theta,
            "weights": draw_weights(draw, block_shapes(d_model, d_ff)),
            "in_features": x,
        }

    def case(name: str, given: dict[str, Any], group: str = "reference") -> Case:
        return Case(name, ADAPTER, given, group, TOLERANCE)

    def silenced(given: dict[str, Any], *names: str) -> dict[str, Any]:
        """The same with these weights at zero."""
        weights = given["weights"]
        return given | {"weights": weights | {name: torch.zeros_like(weights[name]) for name in names}}

    yield case("batch", inputs(draw.normal(3, 7, 8)))
    yield case("longest_sequence", inputs(draw.normal(2, 9, 8), max_seq_len=9))
    yield case("more_heads", inputs(draw.normal(2, 6, 16), num_heads=4, d_ff=20))
    yield case("one_token", inputs(draw.normal(2, 1, 8)))
    yield case("one_sequence", inputs(draw.normal(1, 5, 8), d_ff=6))
    # Inputs far from unit variance: the residual must carry them, and the norms must take them away.
    yield case("large_inputs", inputs(draw.normal(2, 5, 8, scale=5) + 3))

    yield case("small", inputs(draw.normal(2, 9, 8), theta=20.0), group="theta")
    yield case("large", inputs(draw.normal(2, 16, 8), theta=1e6), group="theta")

    for name in ("first", "second"):
        given = inputs(draw.normal(2, 6, 8, scale=2))
        yield case(f"attention_alone_{name}", silenced(given, "ffn.w2.weight"), group="attention_alone")
        yield case(f"feed_forward_alone_{name}", silenced(given, "attn.output_proj.weight"), group="feed_forward_alone")
    both = silenced(inputs(draw.normal(2, 6, 8)), "ffn.w2.weight", "attn.output_proj.weight")
    yield case("both_silent", both, group="residual")

    # The mean square of these inputs is about 1e-5.
    yield case("small_inputs", inputs(draw.normal(2, 6, 8, scale=3e-3)), group="eps")
    yield case("transposed_batch", inputs(draw.normal(6, 2, 8).transpose(0, 1)), group="strided")

    yield Case(
        "batch", "inputs_after", {"adapter": ADAPTER, "inputs": inputs(draw.normal(2, 5, 8))}, "untouched", TOLERANCE
    )
    yield Case(
        "batch",
        "gradients",
        {
            "adapter": ADAPTER,
            "inputs": inputs(draw.normal(2, 5, 8)),
            "wrt": ["in_features"],
            "cotangent": draw.normal(2, 5, 8),
        },
        "gradients",
        Tolerance(2e-4),
    )
