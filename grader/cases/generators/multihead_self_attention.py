"""Cases for causal multi-head self-attention, with and without RoPE.

Some show one requirement at a time. A single token attends to itself alone; one head cannot be split wrongly; the last
token sees everything, with a causal mask or without.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..assets import Recipe
from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import draw_weights, weight_recipes

WITHOUT_ROPE = "run_multihead_self_attention"
WITH_ROPE = "run_multihead_self_attention_with_rope"
PROJECTIONS = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight")


def generate(draw: Draw) -> Iterator[Case]:
    def plain(x: torch.Tensor | Recipe, num_heads: int) -> dict[str, Any]:
        d_model = x.shape[-1]
        shapes = dict.fromkeys(PROJECTIONS, (d_model, d_model))
        weights: dict[str, Any]
        if isinstance(x, Recipe):
            weights = dict(weight_recipes(draw, shapes))
        else:
            weights = {name: weight.to(x.dtype) for name, weight in draw_weights(draw, shapes).items()}
        return {"d_model": d_model, "num_heads": num_heads, **weights, "in_features": x}

    def roped(
        x: torch.Tensor | Recipe,
        num_heads: int,
        positions: torch.Tensor | None,
        theta: float = 1e4,
        max_seq_len: int = 24,
    ) -> dict[str, Any]:
        return plain(x, num_heads) | {"max_seq_len": max_seq_len, "theta": theta, "token_positions": positions}

    def unmixed(given: dict[str, Any]) -> dict[str, Any]:
        """The same with an output projection that leaves what the heads found as it is."""
        return given | {"o_proj_weight": torch.eye(given["d_model"])}

    def without(name: str, x: torch.Tensor | Recipe, num_heads: int, group: str = "without_rope", **more: Any) -> Case:
        return Case(name, WITHOUT_ROPE, plain(x, num_heads), group, **more)

    def with_rope(
        name: str, x: torch.Tensor | Recipe, num_heads: int, positions: Any, group: str, **given: Any
    ) -> Case:
        return Case(name, WITH_ROPE, roped(x, num_heads, positions, **given), group)

    def shuffled(length: int, rows: int) -> torch.Tensor:
        return torch.stack([torch.from_numpy(draw.random.permutation(length)) for _ in range(rows)])

    yield without("one_token", draw.normal(2, 1, 12), 3, "one_token")
    yield without("one_token_one_head", draw.normal(3, 1, 8), 1, "one_token")

    for name, shape in (("batch", (3, 6, 8)), ("one_sequence", (1, 9, 12))):
        identity = torch.eye(shape[-1])
        bare = plain(draw.normal(*shape), 1) | dict.fromkeys(PROJECTIONS, identity)
        yield Case(name, WITHOUT_ROPE, bare, "bare")
    for name, shape in (("batch", (3, 6, 8)), ("one_sequence", (1, 9, 8)), ("all_sizes_equal", (4, 4, 4))):
        yield Case(name, WITHOUT_ROPE, unmixed(plain(draw.normal(*shape), 1)), "one_head")

    yield without("two_heads", draw.normal(2, 6, 8), 2, "heads")
    yield without("two_features_per_head", draw.normal(2, 6, 12), 6, "heads")
    yield without("many_heads", draw.normal(2, 6, 32), 8, "heads")

    yield without("batch", draw.normal(3, 7, 12), 3)
    yield without("one_sequence", draw.normal(1, 9, 8), 2)
    # Equal sizes: heads split off along a wrong dimension show in the values only.
    yield without("as_many_heads_as_tokens", draw.normal(2, 4, 16), 4)
    yield without("all_sizes_equal", draw.normal(4, 4, 16), 4)
    yield without("long", draw.recipe(1, 150, 96), 12, tolerance=Tolerance(5e-5))
    yield without("usual_sizes", draw.recipe(4, 256, 256), 16, tolerance=Tolerance(1e-4), stored=False)

    yield with_rope("batch", draw.normal(3, 7, 12), 3, torch.arange(7), "with_rope", max_seq_len=7)
    yield with_rope("leading_one", draw.normal(3, 7, 12), 3, torch.arange(7)[None], "with_rope")
    yield with_rope("all_sizes_equal", draw.normal(4, 4, 16), 4, torch.arange(4)[None], "with_rope")
    yield with_rope("small_theta", draw.normal(2, 8, 16), 2, torch.arange(8), "with_rope", theta=30.0)
    yield with_rope("two_features_per_head", draw.normal(2, 6, 12), 6, torch.arange(6), "with_rope")
    yield with_rope("one_token", draw.normal(2, 1, 8), 2, torch.zeros(1, dtype=torch.int64), "with_rope")
    long = roped(draw.recipe(1, 150, 72), 9, torch.arange(150), max_seq_len=160)
    yield Case("long", WITH_ROPE, long, "with_rope", Tolerance(1e-4))

    gaps = torch.arange(0, 21, 3)
    for name, positions in (("gaps", gaps), ("gaps_with_leading_one", gaps[None]), ("late", torch.arange(9, 16))):
        given = unmixed(roped(draw.normal(3, 7, 8), 1, positions, theta=100.0))
        yield Case(name, WITH_ROPE, given, "positions")

    # Who sees whom follows the order in the sequence, not the positions.
    yield with_rope("backwards", draw.normal(2, 6, 8), 2, torch.arange(5, -1, -1), "unordered")
    yield with_rope("repeated", draw.normal(2, 6, 8), 2, torch.tensor([0, 0, 5, 5, 5, 9]), "unordered")
    yield with_rope("shuffled", draw.normal(2, 8, 8), 2, shuffled(8, 1)[0], "unordered")

    ordered = torch.sort(shuffled(20, 4)[:, :4], dim=-1).values
    yield with_rope("different_rows", draw.normal(3, 4, 8), 2, ordered[:3], "rows")
    yield with_rope("as_many_rows_as_heads", draw.normal(4, 4, 16), 4, ordered, "rows")
    yield with_rope("as_many_rows_as_two_heads", draw.normal(2, 4, 8), 2, ordered[:2], "rows")
    yield with_rope("as_many_rows_as_tokens", draw.normal(4, 4, 8), 2, ordered, "rows")

    yield with_rope("batch", draw.normal(2, 7, 12), 3, None, "no_positions")
    yield without("no_batch", draw.normal(6, 8), 2, "shapes")
    yield without("two_batch_dimensions", draw.normal(2, 3, 5, 8), 2, "shapes")
    yield without("three_batch_dimensions", draw.normal(2, 1, 3, 5, 8), 2, "shapes")
    yield with_rope("no_batch_with_rope", draw.normal(6, 8), 2, torch.arange(6), "shapes")
    yield with_rope("two_batch_dimensions_with_rope", draw.normal(2, 3, 5, 8), 2, torch.arange(5), "shapes")

    yield without("transposed_batch", draw.normal(6, 2, 8).transpose(0, 1), 2, "strided")
    yield with_rope("every_other_sequence", draw.normal(4, 6, 8)[::2], 2, torch.arange(6), "strided")

    for name, dtype, tolerance in (("float16", torch.float16, 6e-3), ("bfloat16", torch.bfloat16, 5e-2)):
        given = plain(draw.normal(2, 6, 16, dtype=dtype), 2)
        yield Case(name, WITHOUT_ROPE, given, "half", Tolerance(tolerance))

    for name, adapter, given in (
        ("without_rope", WITHOUT_ROPE, plain(draw.normal(2, 5, 8), 2)),
        ("with_rope", WITH_ROPE, roped(draw.normal(2, 5, 8), 2, torch.arange(5))),
    ):
        yield Case(name, "inputs_after", {"adapter": adapter, "inputs": given}, "untouched")
        differentiated = {
            "adapter": adapter,
            "inputs": given,
            "wrt": ["in_features"],
            "cotangent": draw.normal(2, 5, 8),
        }
        yield Case(name, "gradients", differentiated, "gradients", Tolerance(1e-4))
