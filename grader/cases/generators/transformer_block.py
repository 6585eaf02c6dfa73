"""Cases for the Transformer block.

Sizes are those of the assignment: d_ff is 8/3 of d_model and a multiple of 64. Others are the business of the
feed-forward network's own tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..assets import Recipe
from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import block_shapes, usual_d_ff, weight_recipes

ADAPTER = "run_transformer_block"
# Two sublayers on end: correct implementations differ by up to 2e-6 in float32.
TOLERANCE = Tolerance(5e-5)
D_MODEL = 24


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(
        x: torch.Tensor | Recipe, num_heads: int = 2, max_seq_len: int = 16, theta: float = 1e4
    ) -> dict[str, Any]:
        d_model = x.shape[-1]
        d_ff = usual_d_ff(d_model)
        return {
            "d_model": d_model,
            "num_heads": num_heads,
            "d_ff": d_ff,
            "max_seq_len": max_seq_len,
            "theta": theta,
            "weights": weight_recipes(draw, block_shapes(d_model, d_ff)),
            "in_features": x,
        }

    def case(name: str, given: dict[str, Any], group: str = "reference", **more: Any) -> Case:
        return Case(name, ADAPTER, given, group, **{"tolerance": TOLERANCE, **more})

    def silenced(given: dict[str, Any], *names: str) -> dict[str, Any]:
        """The same with these weights at zero."""
        weights = given["weights"]
        return given | {"weights": weights | {name: Recipe(weights[name].shape, 0.0, 0) for name in names}}

    yield case("batch", inputs(draw.normal(3, 7, D_MODEL)))
    yield case("longest_sequence", inputs(draw.normal(2, 9, D_MODEL), max_seq_len=9))
    yield case("more_heads", inputs(draw.normal(2, 6, D_MODEL), num_heads=4))
    yield case("one_token", inputs(draw.normal(2, 1, D_MODEL)))
    yield case("one_sequence", inputs(draw.normal(1, 5, 48), num_heads=3))
    # Inputs far from unit variance: the residual must carry them, and the norms must take them away.
    yield case("large_inputs", inputs(draw.normal(2, 5, D_MODEL, scale=5) + 3))
    yield case("long", inputs(draw.recipe(1, 120, 72), num_heads=9, max_seq_len=128))
    usual = inputs(draw.recipe(4, 256, 192), num_heads=12, max_seq_len=256)
    yield case("usual_sizes", usual, tolerance=Tolerance(1e-4), stored=False)

    yield case("two_tokens", inputs(draw.normal(2, 2, D_MODEL), theta=20.0), group="theta")
    yield case("drawn", inputs(draw.normal(2, 9, D_MODEL), theta=draw.number(20, 5000)), group="theta")

    for name in ("first", "second"):
        given = inputs(draw.normal(2, 6, D_MODEL, scale=2))
        yield case(f"attention_alone_{name}", silenced(given, "ffn.w2.weight"), group="attention_alone")
        yield case(f"feed_forward_alone_{name}", silenced(given, "attn.output_proj.weight"), group="feed_forward_alone")
    # Vectors of root mean square 1, and gains of 1: a norm in a wrong place would leave them as they are, too.
    normed = draw.normal(2, 6, D_MODEL)
    normed /= normed.square().mean(-1, keepdim=True).sqrt()
    both = silenced(inputs(normed), "ffn.w2.weight", "attn.output_proj.weight")
    both["weights"] |= {name: torch.ones(D_MODEL) for name in ("ln1.weight", "ln2.weight")}
    yield case("both_silent", both, group="residual")

    # The mean square of these inputs is about 1e-5.
    yield case("small_inputs", inputs(draw.normal(2, 6, D_MODEL, scale=3e-3)), group="eps")
    yield case("transposed_batch", inputs(draw.normal(6, 2, D_MODEL).transpose(0, 1)), group="strided")

    untouched = {"adapter": ADAPTER, "inputs": inputs(draw.normal(2, 5, D_MODEL))}
    yield Case("batch", "inputs_after", untouched, "untouched", TOLERANCE)
    yield Case(
        "batch",
        "gradients",
        {
            "adapter": ADAPTER,
            "inputs": inputs(draw.normal(2, 5, D_MODEL)),
            "wrt": ["in_features"],
            "cotangent": draw.normal(2, 5, D_MODEL),
        },
        "gradients",
        Tolerance(2e-4),
    )
