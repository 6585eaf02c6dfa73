"""Cases for sines and cosines of positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance

# Positions are below 64: an angle in float32 is then off by 4e-6.
_TABLE = Tolerance(5e-5)


def generate(draw: Draw) -> Iterator[Case]:
    def table(name: str, group: str, num_positions: int, d_model: int, layout: str, base: float) -> Case:
        given = {"num_positions": num_positions, "d_model": d_model, "layout": layout, "base": base}
        return Case(name, "run_sinusoidal_table", given, group, _TABLE)

    def added(name: str, group: str, x: torch.Tensor, relative: float = 2e-5, **more: Any) -> Case:
        # With a base of 1, every angle is the position itself, so that wrong exponents do not show here.
        sizes = {"max_seq_len": 64, "d_model": x.shape[-1], "layout": "interleaved", "base": 1.0}
        given = {**sizes, "in_features": x, "token_positions": None, **more}
        return Case(name, "run_sinusoidal_positions", given, group, Tolerance(relative))

    # Two features have one angle, which is the position itself whatever the base.
    for layout in ("interleaved", "halves"):
        yield table(f"{layout}_two_features", "one_angle", draw.integer(5, 12), 2, layout, 100.0)
        yield table(f"{layout}_first", "first", 1, 6, layout, 100.0)
        yield table(f"{layout}_eight_features", layout, 7, 8, layout, 10000.0)
        yield table(f"{layout}_other_base", layout, 9, 6, layout, draw.number(20, 400))
        yield table(f"{layout}_far", layout, 60, 4, layout, 100.0)
    yield added("batch", "added", draw.normal(2, 5, 2))
    yield added("no_batch", "added", draw.normal(6, 2))
    apart = torch.tensor([[5, 2, 40, 0], [7, 7, 1, 63]])
    yield added("by_sequence", "positions", draw.normal(2, 4, 2), token_positions=apart)
    yield added("any_order", "positions", draw.normal(2, 3, 2), token_positions=torch.tensor([9, 0, 4]))
    yield added("bfloat16", "dtypes", draw.normal(5, 2, dtype=torch.bfloat16), 2e-2)
    yield added("float64", "dtypes", draw.normal(5, 2, dtype=torch.float64))
    given = added("", "", draw.normal(3, 2)).inputs
    yield Case("two_features", "inputs_after", {"adapter": "run_sinusoidal_positions", "inputs": given}, "untouched")
