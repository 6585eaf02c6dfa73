"""Cases for attention by chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance

ADAPTER = "run_online_attention"
_EXACT = Tolerance(5e-5)


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(
        *shape: int, keys: int, chunk_size: int, causal: bool = False, dtype: torch.dtype = torch.float32
    ) -> dict[str, Any]:
        *batch, queries, d_k = shape
        return {
            "Q": draw.normal(*batch, queries, d_k, dtype=dtype),
            "K": draw.normal(*batch, keys, d_k, dtype=dtype),
            "V": draw.normal(*batch, keys, d_k + 1, dtype=dtype),
            "chunk_size": chunk_size,
            "causal": causal,
        }

    def case(name: str, group: str, given: dict[str, Any], tolerance: Tolerance = _EXACT) -> Case:
        return Case(name, ADAPTER, given, group, tolerance)

    def leaning(given: dict[str, Any], by: float, at: float = 0.0) -> dict[str, Any]:
        """Scores that rise by so much from the first key to the last, beginning at `at`."""
        queries, keys = given["Q"], given["K"]
        rise = torch.linspace(at, at + by, keys.shape[-2])
        queries[..., 0], keys[..., 0] = queries.shape[-1] ** 0.5, rise
        return given

    yield case("heads", "one_chunk", inputs(2, 2, 3, 4, keys=5, chunk_size=5))
    yield case("larger_chunk", "one_chunk", inputs(4, 6, keys=3, chunk_size=8))
    equal = inputs(2, 3, 4, keys=6, chunk_size=2)
    equal["Q"].zero_()
    yield case("pairs", "equal", equal)
    equal = inputs(3, 4, keys=8, chunk_size=4)
    equal["K"].zero_()
    yield case("fours", "equal", equal)
    yield case("threes", "falling", leaning(inputs(2, 4, 4, keys=9, chunk_size=3), -12))
    yield case("one_by_one", "falling", leaning(inputs(3, 4, keys=4, chunk_size=1), -12))
    yield case("twos", "rising", leaning(inputs(2, 4, 4, keys=8, chunk_size=2), 9))
    yield case("mixed", "rising", inputs(1, 2, 4, 4, keys=12, chunk_size=4))
    # Equal scores, so that only which keys are in chunks matters.
    for name, keys in (("one_left", 5), ("some_left", draw.choice([7, 10, 11]))):
        equal = inputs(2, 3, 4, keys=keys, chunk_size=4)
        equal["Q"].zero_()
        yield case(name, "shorter", equal)
    yield case("two_hundred", "large", leaning(inputs(3, 4, keys=4, chunk_size=4), 2, 200))
    yield case("three_hundred", "large", leaning(inputs(3, 4, keys=6, chunk_size=6), -20, 300))
    yield case("minus_two_hundred", "low", leaning(inputs(3, 4, keys=6, chunk_size=6), 4, -200))

    # In one chunk, so that only what is seen matters; and in chunks, of which some are hidden.
    yield case("one_chunk", "causal", inputs(2, 4, 4, keys=4, chunk_size=4, causal=True))
    yield case("chunks", "causal", inputs(2, 6, 4, keys=6, chunk_size=2, causal=True))
    yield case("two_of_seven", "last_queries", inputs(2, 2, 4, keys=7, chunk_size=7, causal=True))
    yield case("one_of_five", "last_queries", inputs(2, 1, 4, keys=5, chunk_size=2, causal=True))
    given = inputs(2, 3, 4, keys=5, chunk_size=2)
    given = {"adapter": ADAPTER, "inputs": given, "wrt": ["Q", "K", "V"], "cotangent": draw.normal(2, 3, 5)}
    yield Case("chunks", "gradients", given, "gradients", Tolerance(1e-4))
    half = inputs(8, 4, keys=256, chunk_size=2, dtype=torch.bfloat16)
    yield case("bfloat16", "half", half, Tolerance(2e-2, typical=4e-3))
    for name, given in (
        ("one_chunk", inputs(2, 3, 4, keys=3, chunk_size=4)),
        ("causal", inputs(2, 3, 4, keys=3, chunk_size=4, causal=True)),
    ):
        yield Case(name, "inputs_after", {"adapter": ADAPTER, "inputs": given}, "untouched", _EXACT)
