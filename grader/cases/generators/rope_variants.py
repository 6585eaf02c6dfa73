"""Cases for RoPE in other layouts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(
        x: torch.Tensor, layout: str, rotary_dim: int | None = None, positions: torch.Tensor | None = None
    ) -> dict[str, Any]:
        return {
            "d_k": x.shape[-1],
            "theta": 100.0,
            "max_seq_len": 64,
            "layout": layout,
            "rotary_dim": rotary_dim,
            "in_query_or_key": x,
            "token_positions": torch.arange(x.shape[-2]) if positions is None else positions,
        }

    def case(name: str, given: dict[str, Any], group: str, relative: float = 2e-5) -> Case:
        return Case(name, "run_rope_variant", given, group, Tolerance(relative))

    for layout in ("interleaved", "halves"):
        yield case(f"{layout}_heads", inputs(draw.normal(2, 2, 4, 8), layout), layout)
        yield case(f"{layout}_one_pair", inputs(draw.normal(3, 2), layout), layout)
        yield case(f"{layout}_no_batch", inputs(draw.normal(5, 6), layout), layout)
    for layout, group in (("interleaved", "partial"), ("halves", "partial_halves")):
        yield case(f"{layout}_half_of_them", inputs(draw.normal(2, 4, 8), layout, 4), group)
        yield case(f"{layout}_most", inputs(draw.normal(2, 4, 10), layout, 6), group)

    for name, heads, d_k in (("one_head", 1, 8), ("two_heads", 2, 6), ("three_heads", 3, 4)):
        yield Case(
            name, "run_permute_for_halves", {"weight": draw.normal(heads * d_k, 3), "num_heads": heads}, "permutation"
        )

    # One pair is the same in both layouts, so that nothing but positions and types is asked about.
    apart = torch.tensor([[5, 2, 40, 0], [7, 7, 1, 63]])
    yield case("by_sequence", inputs(draw.normal(2, 4, 2), "interleaved", None, apart), "positions")
    yield case("any_order", inputs(draw.normal(2, 3, 2), "interleaved", None, torch.tensor([9, 0, 4])), "positions")
    yield case("float64", inputs(draw.normal(5, 2, dtype=torch.float64), "interleaved"), "dtypes")
    yield case("bfloat16", inputs(draw.normal(5, 2, dtype=torch.bfloat16), "interleaved"), "dtypes", 2e-2)
    given = {"adapter": "run_rope_variant", "inputs": inputs(draw.normal(3, 2), "interleaved")}
    yield Case("one_pair", "inputs_after", given, "untouched")
