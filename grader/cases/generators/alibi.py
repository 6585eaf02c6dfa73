"""Cases for ALiBi."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..case import Case, Draw
from ..compare import Tolerance

_ATTENTION = Tolerance(5e-5)


def generate(draw: Draw) -> Iterator[Case]:
    for heads in (1, 2, 8, 16):
        yield Case(f"{heads}_heads", "run_alibi_slopes", {"num_heads": heads}, "powers")
    for heads in (3, 6, 12, 20, draw.integer(33, 60)):
        yield Case(f"{heads}_heads" if heads < 33 else "many_heads", "run_alibi_slopes", {"num_heads": heads}, "other")

    def attention(name: str, group: str, *shape: int, dtype: torch.dtype = torch.float32, **options: float) -> Case:
        *batch, seq, d_k = shape
        given = {
            "Q": draw.normal(*shape, dtype=dtype, **options),
            "K": draw.normal(*shape, dtype=dtype, **options),
            "V": draw.normal(*batch, seq, d_k + 1, dtype=dtype),
        }
        return Case(name, "run_alibi_attention", given, group, _ATTENTION)

    # Eight heads, whose slopes 1/2, 1/4, ... every reading of the slopes gives; other numbers are claims of their own.
    yield attention("eight_heads", "attention", 1, 8, 5, 4)
    yield attention("two_sequences", "attention", 2, 8, 4, 2)
    yield attention("large_scores", "attention", 8, 3, 6, scale=3)
    equal = attention("equal_scores", "last", 1, 8, 6, 4)
    equal.inputs["Q"].zero_()
    yield equal
    yield attention("one_token", "last", 8, 1, 4)
    yield attention("float64", "dtypes", 8, 3, 2, dtype=torch.float64)
    given = {name: draw.normal(8, 3, 2) for name in "QKV"}
    yield Case(
        "eight_heads", "inputs_after", {"adapter": "run_alibi_attention", "inputs": given}, "untouched", _ATTENTION
    )
