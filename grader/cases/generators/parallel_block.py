"""Cases for blocks whose branches stand side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import block_shapes, weight_recipes

ADAPTER = "run_parallel_block"
TOLERANCE = Tolerance(5e-5)
D_MODEL, D_FF = 24, 64


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(x: torch.Tensor, shared_norm: bool, num_heads: int = 2) -> dict[str, Any]:
        shapes = dict(block_shapes(D_MODEL, D_FF))
        if shared_norm:
            del shapes["ln2.weight"]
        sizes = {"d_model": D_MODEL, "num_heads": num_heads, "d_ff": D_FF, "max_seq_len": 8, "theta": 1e4}
        return {**sizes, "shared_norm": shared_norm, "weights": weight_recipes(draw, shapes), "in_features": x}

    for group, shared_norm in (("shared", True), ("two_norms", False)):
        for name, given in (
            ("batch", inputs(draw.normal(2, 4, D_MODEL), shared_norm)),
            ("one_token", inputs(draw.normal(2, 1, D_MODEL), shared_norm)),
            ("large_stream", inputs(draw.normal(1, 3, D_MODEL, scale=3) + 1, shared_norm, num_heads=3)),
        ):
            yield Case(f"{group}_{name}", ADAPTER, given, group, TOLERANCE)

    given = {"adapter": ADAPTER, "inputs": inputs(draw.normal(1, 3, D_MODEL), True), "wrt": ["in_features"]}
    yield Case("shared", "gradients", {**given, "cotangent": draw.normal(1, 3, D_MODEL)}, "gradients", Tolerance(1e-4))
