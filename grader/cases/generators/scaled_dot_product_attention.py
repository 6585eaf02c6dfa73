"""Cases for scaled dot-product attention.

Where a case is not about the mask, every key is open; where it is about nothing else, all open keys score alike. So
code that gets one of the two wrong shows what it gets right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance

ADAPTER = "run_scaled_dot_product_attention"


def generate(draw: Draw) -> Iterator[Case]:
    def mask_of(*shape: int) -> torch.Tensor:
        """Each key is open with probability 1/2, and at least one is open to every query."""
        return _open_one(draw, draw.uniform(*shape) < 0.5)

    def inputs(
        *leading: int,
        queries: int = 5,
        keys: int = 7,
        d_k: int = 8,
        d_v: int = 8,
        scale: float = 1.5,
        dtype: torch.dtype = torch.float32,
    ) -> dict[str, Any]:
        return {
            # Scores of about scale^2, so that attention is neither uniform nor on one key only.
            "Q": draw.normal(*leading, queries, d_k, scale=scale, dtype=dtype),
            "K": draw.normal(*leading, keys, d_k, scale=scale, dtype=dtype),
            "V": draw.normal(*leading, keys, d_v, dtype=dtype),
            "mask": torch.ones(*leading, queries, keys, dtype=torch.bool),
        }

    def masked(*leading: int, **sizes: Any) -> dict[str, Any]:
        given = inputs(*leading, **sizes)
        return given | {"mask": mask_of(*given["mask"].shape)}

    def alike(*leading: int, **sizes: Any) -> dict[str, Any]:
        """Every score is 0, so that the output is the plain average of the open values."""
        given = masked(*leading, **sizes)
        return given | {"Q": torch.zeros_like(given["Q"])}

    def case(name: str, given: dict[str, Any], group: str = "reference", tolerance: float = 2e-5) -> Case:
        return Case(name, ADAPTER, given, group, Tolerance(tolerance))

    yield case("batch", inputs(3), group="scores")
    yield case("batch_and_heads", inputs(2, 3), group="scores")
    yield case("more_queries_than_keys", inputs(2, queries=9, keys=4), group="scores")
    yield case("one_feature", inputs(2, d_k=1, d_v=5), group="scores")
    # Equal sizes: a product or a sum along a wrong dimension shows in the values only.
    yield case("all_sizes_equal", inputs(6, queries=6, keys=6, d_k=6, d_v=6), group="scores")
    yield case("all_sizes_equal_with_heads", inputs(4, 4, queries=4, keys=4, d_k=4, d_v=4), group="scores")

    yield case("masked_batch", masked(3))
    yield case("masked_batch_and_heads", masked(2, 3))
    yield case("all_sizes_equal", masked(6, queries=6, keys=6, d_k=6, d_v=6))
    yield case("all_sizes_equal_with_heads", masked(4, 4, queries=4, keys=4, d_k=4, d_v=4))

    yield case("values_wider_than_keys", inputs(2, d_k=4, d_v=11), group="sizes")
    yield case("values_narrower_than_keys", inputs(2, d_k=12, d_v=3), group="sizes")
    yield case("one_query", inputs(2, 2, queries=1), group="sizes")
    yield case("one_key", inputs(2, queries=3, keys=1), group="sizes")

    yield case("drawn", alike(3), group="mask")
    yield case("drawn_with_heads", alike(2, 3), group="mask")
    causal = torch.ones(6, 6, dtype=torch.bool).tril().expand(2, 6, 6).clone()
    yield case("causal", alike(2, queries=6, keys=6) | {"mask": causal}, group="mask")
    one_key = torch.nn.functional.one_hot(draw.integers(0, 7, 2, 5), 7).bool()
    yield case("one_key_per_query", inputs(2) | {"mask": one_key}, group="mask")

    # However its score compares with those of the open keys, a closed key must not be seen.
    along = draw.normal(8)
    tempting = masked(2, queries=4, keys=6)
    tempting["mask"][..., 0], tempting["mask"][..., 1] = False, True
    tempting["Q"] = along.expand(2, 4, 8) / along.norm()
    tempting["K"] = torch.zeros(2, 6, 8)
    tempting["K"][..., 0, :] = 60 * along / along.norm()
    yield case("closed_key_with_high_score", tempting, group="closed")
    # By 148 above the others: a maximum that takes it in leaves e^-148 of the open keys, which is 0 in float32.
    yield case("closed_key_with_huge_score", tempting | {"K": 7 * tempting["K"]}, group="closed")
    # All open keys score the same, -3,000: a closed key filled with -100 would outdo them.
    low = masked(2, queries=4, keys=6)
    low["mask"][..., 0], low["mask"][..., 1] = False, True
    low["Q"] = 100 * along.expand(2, 4, 8) / along.norm()
    low["K"] = -3000 * 8**0.5 / 100 * along.expand(2, 6, 8) / along.norm()
    yield case("open_keys_with_low_scores", low, group="closed", tolerance=5e-4)

    yield case("scores_around_100", inputs(2, scale=10), group="large", tolerance=5e-4)
    yield case("scores_around_1000", inputs(2, scale=30), group="large", tolerance=5e-3)

    # More of everything than a shortcut might allow for.
    long = {
        "Q": draw.recipe(2, 24, 48, scale=1.5),
        "K": draw.recipe(2, 700, 48, scale=1.5),
        "V": draw.recipe(2, 700, 40),
        "mask": torch.ones(2, 24, 700, dtype=torch.bool),
    }
    yield case("many_keys", long, group="long")
    usual: dict[str, Any] = {name: draw.recipe(4, 12, 256, 64, scale=1.5) for name in "QKV"}
    usual["mask"] = torch.ones(256, 256, dtype=torch.bool).tril().expand(4, 12, -1, -1).clone()
    yield Case("usual_sizes", ADAPTER, usual, stored=False)

    views = inputs(2, 3, queries=6, keys=6)
    for name in ("Q", "K", "V"):
        views[name] = views[name].transpose(1, 2).contiguous().transpose(1, 2)
    yield case("transposed_heads", views, group="strided")

    for name, leading in (("batch", (2,)), ("batch_and_heads", (2, 3))):
        yield case(name, inputs(*leading) | {"mask": None}, group="no_mask")

    yield case("for_all_sequences", masked(3) | {"mask": mask_of(5, 7)}, group="one_mask")
    yield case("for_all_sequences_and_heads", masked(2, 3) | {"mask": mask_of(5, 7)}, group="one_mask")
    yield case("for_all_heads", masked(3, 3) | {"mask": mask_of(3, 1, 5, 7)}, group="broadcast")
    yield case("for_all_sequences_with_leading_one", masked(2, 3) | {"mask": mask_of(1, 3, 5, 7)}, group="broadcast")
    yield case("for_all_queries", masked(2, 3) | {"mask": mask_of(2, 1, 1, 7)}, group="broadcast")

    yield case("five_dimensions", masked(2, 1, 3), group="shapes")
    yield case("six_dimensions", masked(2, 1, 2, 2), group="shapes")
    yield case("no_batch", masked(), group="no_batch")

    yield case("float64", masked(2, dtype=torch.float64), group="float64")
    yield case("float16", masked(2, dtype=torch.float16, keys=40), group="half", tolerance=4e-3)
    yield case("bfloat16", masked(2, dtype=torch.bfloat16, keys=40), group="half", tolerance=6e-2)

    yield Case("batch", "inputs_after", {"adapter": ADAPTER, "inputs": masked(2)}, "untouched")
    for name, leading in (("batch", (2,)), ("heads", (2, 3))):
        yield Case(
            name,
            "gradients",
            {
                "adapter": ADAPTER,
                "inputs": masked(*leading),
                "wrt": ["Q", "K", "V"],
                "cotangent": draw.normal(*leading, 5, 8),
            },
            "gradients",
            Tolerance(1e-4),
        )


def _open_one(draw: Draw, mask: torch.Tensor) -> torch.Tensor:
    opened = draw.integers(0, mask.shape[-1], *mask.shape[:-1])
    return mask | torch.nn.functional.one_hot(opened, mask.shape[-1]).bool()
