"""Cases for blocks with norms in other places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import block_shapes, weight_recipes

ADAPTER = "run_norm_placement_block"
# Two sublayers on end, as in a block of the base model.
TOLERANCE = Tolerance(5e-5)
D_MODEL, D_FF = 24, 64


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(x: torch.Tensor, placement: str, num_heads: int = 2) -> dict[str, Any]:
        shapes = dict(block_shapes(D_MODEL, D_FF))
        if placement == "double":
            shapes |= {"ln1_out.weight": (D_MODEL,), "ln2_out.weight": (D_MODEL,)}
        sizes = {"d_model": D_MODEL, "num_heads": num_heads, "d_ff": D_FF, "max_seq_len": 8, "theta": 1e4}
        return {**sizes, "placement": placement, "weights": weight_recipes(draw, shapes), "in_features": x}

    def case(name: str, given: dict[str, Any], group: str) -> Case:
        return Case(name, ADAPTER, given, group, TOLERANCE)

    for placement in ("pre", "post", "branch", "double"):
        yield case(f"{placement}_batch", inputs(draw.normal(2, 3, D_MODEL), placement), placement)
        # The size of the stream matters where a norm stands on it, and shows where none does.
        large = draw.normal(1, 2, D_MODEL, scale=2) + 1
        yield case(f"{placement}_large_stream", inputs(large, placement, num_heads=3), placement)

    given = {"adapter": ADAPTER, "inputs": inputs(draw.normal(1, 3, D_MODEL), "pre"), "wrt": ["in_features"]}
    yield Case("pre", "gradients", {**given, "cotangent": draw.normal(1, 3, D_MODEL)}, "gradients", Tolerance(1e-4))
