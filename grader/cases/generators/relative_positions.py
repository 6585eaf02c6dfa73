"""Cases for relative positions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..case import Case, Draw
from ..compare import Tolerance

_ATTENTION = Tolerance(5e-5)
_BORDER = 1e-3


def decided(num_buckets: int, max_distance: int, both: bool, farthest: int) -> list[int]:
    """Distances whose bucket is the same however logarithms are rounded: those that do not lie on a border."""
    n = num_buckets // 2 if both else num_buckets
    exact = n // 2

    def place(distance: int) -> float:
        return math.log(distance / exact) / math.log(max_distance / exact) * (n - exact)

    return [
        distance
        for distance in range(farthest + 1)
        if distance <= exact or distance >= max_distance or abs(place(distance) - round(place(distance))) > _BORDER
    ]


def generate(draw: Draw) -> Iterator[Case]:
    def shaw(*shape: int, m: int, values: bool = False, causal: bool = False, keys: bool = True) -> dict[str, Any]:
        d_k = shape[-1]
        vectors = draw.normal(2 * m + 1, d_k) * keys
        return {
            **{name: draw.normal(*shape) for name in "QKV"},
            "key_vectors": vectors,
            "value_vectors": draw.normal(2 * m + 1, d_k) if values else None,
            "causal": causal,
        }

    def attention(name: str, group: str, given: dict[str, Any]) -> Case:
        return Case(name, "run_relative_attention", given, group, _ATTENTION)

    yield attention("heads", "key_vectors", shaw(2, 2, 4, 4, m=3))
    yield attention("no_heads", "key_vectors", shaw(3, 6, m=4))
    yield attention("one_away", "clipped", shaw(2, 5, 4, m=1))
    yield attention("two_away", "clipped", shaw(1, 2, 6, 4, m=2))
    yield attention("all_alike", "clipped", shaw(1, 4, 4, m=0))
    # Without vectors for keys, so that a wrong score does not show.
    yield attention("values", "value_vectors", shaw(2, 4, 4, m=3, values=True, keys=False))
    yield attention("values_of_heads", "value_vectors", shaw(2, 2, 3, 4, m=2, values=True, keys=False))
    yield attention("zeros", "zeros", shaw(2, 2, 4, 4, m=2, keys=False))
    yield attention("no_batch", "zeros", shaw(4, 6, m=2, keys=False))
    yield attention("zeros_causal", "causal", shaw(2, 4, 4, m=2, keys=False, causal=True))
    yield attention("one_token", "causal", shaw(1, 1, 4, m=2, causal=True))

    yield attention("all_of_it", "causal", shaw(2, 5, 4, m=1, values=True, causal=True))

    def buckets(name: str, group: str, n: int, far: int, both: bool, distances: list[int] | None = None) -> Case:
        behind = [-d for d in reversed(distances or decided(n, far, both, far + far // 2))]
        ahead = behind + [-d for d in reversed(behind[:-1])] if both else behind
        given = {"ahead": torch.tensor(ahead), "num_buckets": n, "max_distance": far, "bidirectional": both}
        return Case(name, "run_t5_buckets", given, group)

    yield buckets("behind", "near", 8, 20, False, [0, 1, 2, 3])
    yield buckets("behind_of_many", "near", 32, 128, False, list(range(16)))
    yield buckets("eight", "one_direction", 8, 20, False)
    yield buckets("thirty_two", "one_direction", 32, 128, False)
    yield buckets("odd", "one_direction", 7, draw.integer(30, 60), False)
    yield buckets("eight_both", "both_directions", 8, 20, True)
    yield buckets("thirty_two_both", "both_directions", 32, 128, True)
    yield buckets("some_both", "both_directions", 12, draw.integer(30, 60), True)

    def bias(name: str, group: str, queries: Tensor, keys: Tensor) -> Case:
        # Exact distances only, which do not show how buckets widen.
        given = {"table": draw.normal(8, 3), "query_positions": queries, "key_positions": keys}
        return Case(name, "run_t5_bias", {**given, "max_distance": 30, "bidirectional": False}, group)

    yield bias("four_tokens", "bias", torch.arange(4), torch.arange(4))
    yield bias("last_query", "bias", torch.tensor([5]), torch.tensor([2, 3, 4, 5]))

    yield bias("any_order", "bias", torch.tensor([3, 2]), torch.tensor([0, 1, 3, 2, 4]))

    def t5(*shape: int, mask: Tensor | None = None, keys: int = 4) -> dict[str, Any]:
        *batch, heads, queries, d_k = shape
        return {
            "Q": draw.normal(*shape),
            "K": draw.normal(*batch, heads, keys, d_k, scale=0.7),
            "V": draw.normal(*batch, heads, keys, d_k + 1),
            "bias": draw.normal(heads, queries, keys),
            "mask": mask,
        }

    yield Case("batch", "run_t5_attention", t5(2, 2, 4, 3), "t5", _ATTENTION)
    yield Case("other_length", "run_t5_attention", t5(2, 3, 4, keys=5), "t5", _ATTENTION)
    yield Case("causal", "run_t5_attention", t5(1, 4, 1, mask=torch.ones(4, 4).tril().bool()), "masked", _ATTENTION)

    def gradients(name: str, adapter: str, inputs: dict[str, Any], wrt: list[str], *shape: int) -> Case:
        given = {"adapter": adapter, "inputs": inputs, "wrt": wrt, "cotangent": draw.normal(*shape)}
        return Case(name, "gradients", given, "gradients", Tolerance(1e-4))

    yield gradients(
        "vectors", "run_relative_attention", shaw(2, 3, 4, m=0, values=True), ["value_vectors", "V"], 2, 3, 4
    )
    yield gradients("table", "run_t5_bias", bias("", "", torch.arange(3), torch.arange(3)).inputs, ["table"], 3, 3, 3)
    yield gradients("bias", "run_t5_attention", t5(2, 3, 1, keys=3), ["bias", "Q"], 2, 3, 2)
    for name, adapter, inputs in (
        ("vectors", "run_relative_attention", shaw(2, 3, 4, m=2, keys=False)),
        ("scores", "run_t5_attention", t5(2, 3, 1, keys=3)),
    ):
        yield Case(name, "inputs_after", {"adapter": adapter, "inputs": inputs}, "untouched", _ATTENTION)
