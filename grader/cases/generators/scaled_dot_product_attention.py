"""Cases for scaled dot-product attention."""

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
        *leading: int, queries: int = 5, keys: int = 7, d_k: int = 8, d_v: int = 8, scale: float = 1.5
    ) -> dict[str, Any]:
        return {
            # Scores of about scale^2, so that attention is neither uniform nor on one key only.
            "Q": draw.normal(*leading, queries, d_k, scale=scale),
            "K": draw.normal(*leading, keys, d_k, scale=scale),
            "V": draw.normal(*leading, keys, d_v),
            "mask": mask_of(*leading, queries, keys),
        }

    def case(name: str, given: dict[str, Any], group: str = "reference", tolerance: float = 2e-5) -> Case:
        return Case(name, ADAPTER, given, group, Tolerance(tolerance))

    yield case("batch", inputs(3))
    yield case("batch_and_heads", inputs(2, 3))
    yield case("more_queries_than_keys", inputs(2, queries=9, keys=4))
    # Equal sizes: a product or a sum along a wrong dimension shows in the values only.
    yield case("all_sizes_equal", inputs(6, queries=6, keys=6, d_k=6, d_v=6))
    yield case("all_sizes_equal_with_heads", inputs(4, 4, queries=4, keys=4, d_k=4, d_v=4))

    yield case("values_wider_than_keys", inputs(2, d_k=4, d_v=11), group="sizes")
    yield case("values_narrower_than_keys", inputs(2, d_k=12, d_v=3), group="sizes")
    yield case("one_feature", inputs(2, d_k=1, d_v=5), group="sizes")
    yield case("one_query", inputs(2, 2, queries=1), group="sizes")
    yield case("one_key", inputs(2, queries=3, keys=1), group="sizes")

    yield case("all_open", inputs(2) | {"mask": torch.ones(2, 5, 7, dtype=torch.bool)}, group="mask")
    causal = torch.ones(6, 6, dtype=torch.bool).tril().expand(2, 6, 6).clone()
    yield case("causal", inputs(2, queries=6, keys=6) | {"mask": causal}, group="mask")
    one_key = torch.nn.functional.one_hot(draw.integers(0, 7, 2, 5), 7).bool()
    yield case("one_key_per_query", inputs(2) | {"mask": one_key}, group="mask")
    # A closed key must not be seen even when its score is far above those of the open ones.
    tempting = inputs(2, queries=4, keys=6)
    tempting["mask"][..., 0] = False
    tempting["mask"][..., 1] = True
    tempting["K"][..., 0, :] = 0
    tempting["Q"][..., 0] = tempting["Q"][..., 0].abs() + 1
    tempting["K"][..., 0, 0] = 60
    yield case("closed_key_with_high_score", tempting, group="mask")

    yield case("scores_around_100", inputs(2, scale=10), group="large", tolerance=5e-4)
    yield case("scores_around_1000", inputs(2, scale=30), group="large", tolerance=5e-3)

    views = inputs(2, 3, queries=6, keys=6)
    for name in ("Q", "K", "V"):
        views[name] = views[name].transpose(1, 2).contiguous().transpose(1, 2)
    yield case("transposed_heads", views, group="strided")

    for name, leading in (("batch", (2,)), ("batch_and_heads", (2, 3))):
        yield case(name, inputs(*leading) | {"mask": None}, group="no_mask")

    yield case("for_all_sequences", inputs(3) | {"mask": mask_of(5, 7)}, group="broadcast")
    yield case("for_all_sequences_and_heads", inputs(2, 3) | {"mask": mask_of(5, 7)}, group="broadcast")
    yield case("for_all_heads", inputs(3, 3) | {"mask": mask_of(3, 1, 5, 7)}, group="broadcast")
    yield case("for_all_sequences_with_leading_one", inputs(2, 3) | {"mask": mask_of(1, 3, 5, 7)}, group="broadcast")
    yield case("for_all_queries", inputs(2, 3) | {"mask": mask_of(2, 1, 1, 7)}, group="broadcast")

    yield case("no_batch", inputs(), group="shapes")
    yield case("five_dimensions", inputs(2, 1, 3), group="shapes")
    yield case("six_dimensions", inputs(2, 1, 2, 2), group="shapes")

    yield Case("batch", "inputs_after", {"adapter": ADAPTER, "inputs": inputs(2)}, "untouched")
    yield Case(
        "batch",
        "gradients",
        {"adapter": ADAPTER, "inputs": inputs(2), "wrt": ["Q", "K", "V"], "cotangent": draw.normal(2, 5, 8)},
        "gradients",
        Tolerance(1e-4),
    )


def _open_one(draw: Draw, mask: torch.Tensor) -> torch.Tensor:
    opened = draw.integers(0, mask.shape[-1], *mask.shape[:-1])
    return mask | torch.nn.functional.one_hot(opened, mask.shape[-1]).bool()
