"""Cases for a mixture of experts and its losses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw

_ADAPTER = "run_mixture_of_experts"


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(
        x: torch.Tensor, experts: int = 4, k: int = 2, d_ff: int = 5, shared: int = 0, **options: Any
    ) -> dict[str, Any]:
        d_model = x.shape[-1]
        shapes = {f"experts.{e}": d_ff for e in range(experts)} | ({"shared": shared} if shared else {})
        weights = {"router.weight": draw.normal(experts, d_model, scale=1.5 / math.sqrt(d_model))}
        for name, hidden in shapes.items():
            weights[f"{name}.w1.weight"] = draw.normal(hidden, d_model, scale=0.8)
            weights[f"{name}.w2.weight"] = draw.normal(d_model, hidden, scale=0.6)
            weights[f"{name}.w3.weight"] = draw.normal(hidden, d_model, scale=0.8)
        sizes = {"d_model": d_model, "d_ff": d_ff, "num_experts": experts, "top_k": k, "shared_d_ff": shared}
        settings = {"renormalise": True, "capacity_factor": None, **options}
        return {**sizes, **settings, "weights": weights, "in_features": x}

    def case(name: str, given: dict[str, Any], group: str) -> Case:
        return Case(name, _ADAPTER, given, group)

    yield case("top_two", inputs(draw.normal(1, 1, 6)), "one_token")
    yield case("all_experts", inputs(draw.normal(1, 1, 6), k=4), "one_token")
    yield case("sequences", inputs(draw.normal(2, 5, 6)), "batch")
    # Where d_ff is d_model, every order of the weights fits.
    yield case("square", inputs(draw.normal(1, 6, 5), experts=3, k=1), "batch")
    # So many experts that some get no token.
    yield case("idle_experts", inputs(draw.normal(1, 2, 4), experts=8, k=2, d_ff=3), "batch")
    yield case("top_one", inputs(draw.normal(2, 4, 6), k=1, renormalise=False), "as_they_are")
    yield case("top_three", inputs(draw.normal(1, 4, 6), k=3, renormalise=False), "as_they_are")
    yield case("shared", inputs(draw.normal(2, 4, 6), shared=7), "shared")
    yield case("same_size", inputs(draw.normal(1, 4, 6), shared=5), "shared")

    def crowded(*shape: int) -> torch.Tensor:
        """Tokens much like each other, which therefore want the same experts."""
        return draw.normal(shape[-1], scale=1.5) + draw.normal(*shape, scale=0.4)

    yield case("full", inputs(crowded(2, 8, 6), experts=4, k=2, capacity_factor=1.0), "capacity")
    yield case(
        "top_one_full", inputs(crowded(2, 9, 6), experts=3, k=1, renormalise=False, capacity_factor=0.5), "capacity"
    )

    def logits(*shape: int) -> torch.Tensor:
        """Of which some experts get more."""
        return draw.normal(*shape) + torch.linspace(1.0, 0.0, shape[-1])

    def balance(name: str, rows: torch.Tensor, k: int, group: str) -> Case:
        return Case(name, "run_load_balance_loss", {"logits": rows, "top_k": k}, group)

    yield balance("one_sequence", logits(9, 4), 1, "balance")
    yield balance("batch", logits(2, 7, 5), 1, "balance")
    # Sequences that go to experts of their own: even in the batch, and uneven in each.
    apart = torch.tensor([[4.0, 4.0, 0.0, 0.0], [0.0, 0.0, 4.0, 4.0]])[:, None] + draw.normal(2, 6, 4)
    yield balance("sequences_apart", apart, 1, "balance")
    yield balance("two_choices", logits(2, 6, 4), 2, "balance_of_several")
    yield balance("three_choices", logits(9, 5), 3, "balance_of_several")

    yield Case("batch", "run_router_z_loss", {"logits": logits(2, 6, 4) + 1.0}, "router_z")
    yield Case("one_sequence", "run_router_z_loss", {"logits": logits(7, 5) - 2.0}, "router_z")

    def gradients(name: str, given: dict[str, Any]) -> Case:
        arguments = {"adapter": _ADAPTER, "inputs": given, "wrt": ["in_features"]}
        return Case(
            name, "gradients", {**arguments, "cotangent": draw.normal(*given["in_features"].shape)}, "gradients"
        )

    yield gradients("renormalised", inputs(draw.normal(1, 5, 6), k=3))
    yield gradients("top_one_as_it_is", inputs(draw.normal(1, 4, 6), k=1, renormalise=False))

    given = {"adapter": "run_load_balance_loss", "inputs": {"logits": logits(7, 4), "top_k": 2}, "wrt": ["logits"]}
    yield Case("load_balance", "gradients", {**given, "cotangent": draw.uniform(low=0.5)}, "balance_gradients")
    given = {"adapter": _ADAPTER, "inputs": inputs(draw.normal(1, 3, 4), experts=3, d_ff=3)}
    yield Case("mixture", "inputs_after", given, "untouched")
