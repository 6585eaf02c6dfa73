"""Cases for the routing of tokens to experts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw


def generate(draw: Draw) -> Iterator[Case]:
    def apart(*shape: int) -> torch.Tensor:
        """Logits of which no two in a row are close, so that rounding changes no choice."""
        *rows, experts = shape
        ranks = torch.from_numpy(draw.random.permuted(torch.arange(experts).expand(*rows, experts).numpy(), axis=-1))
        return (0.6 * ranks + draw.uniform(*shape, low=0.0, high=0.3) - 0.3 * experts).float()

    def top_k(name: str, logits: torch.Tensor, k: int, group: str) -> Case:
        given = {"logits": logits, "top_k": k, "renormalise": group == "renormalised"}
        return Case(name, "run_top_k_gates", given, group)

    for group in ("renormalised", "as_they_are"):
        yield top_k("top_two", apart(2, 4, 5), 2, group)
        yield top_k("top_one", apart(4, 4), 1, group)
        yield top_k("top_three", apart(3, 6), 3, group)
        yield top_k("all", apart(3, 3), 3, group)
    yield top_k("float64", apart(3, 5).double(), 2, "renormalised")

    def biased(name: str, logits: torch.Tensor, bias: torch.Tensor, k: int, group: str) -> Case:
        return Case(name, "run_biased_gates", {"logits": logits, "bias": bias, "top_k": k}, group)

    # A bias that is the same for all changes no choice; others are large enough to turn the order round.
    yield biased("equal_bias", apart(2, 3, 5), torch.full((5,), draw.number(0.3, 0.6)), 2, "bias_weighs_not")
    yield biased("no_bias", apart(4, 5), torch.zeros(5), 3, "bias_weighs_not")
    favoured = torch.tensor([1.5, 0.0, -1.5, 3.0, -3.0]) + draw.uniform(5, low=-0.2, high=0.2)
    yield biased("favours", apart(2, 4, 5), favoured, 2, "bias_selects")
    # Where sigmoids are all near 1, the bias decides, and where it is added to logits, they do.
    steps = 0.2 * torch.from_numpy(draw.random.permutation(5).copy()).float()
    yield biased("saturated", 2.5 * apart(4, 5) + 8.0, steps, 2, "bias_selects")
    yield biased("favours_others", apart(4, 5), -favoured, 3, "bias_selects")

    def hashed(name: str, rows: tuple[int, ...], experts: int, k: int) -> Case:
        table = torch.stack([torch.from_numpy(draw.random.permutation(experts)[:k].copy()) for _ in range(9)])
        given = {"logits": apart(*rows, experts), "token_ids": draw.integers(0, 9, *rows), "table": table}
        return Case(name, "run_hash_gates", given, "hash")

    yield hashed("two_experts", (2, 5), 4, 2)
    yield hashed("three_experts", (6,), 5, 3)
    yield hashed("one_expert", (2, 4), 4, 1)

    def capacity(name: str, tokens: int, experts: int, k: int, factor: float) -> Case:
        sizes = {"tokens": tokens, "num_experts": experts, "top_k": k, "capacity_factor": factor}
        return Case(name, "run_expert_capacity", sizes, "capacity")

    yield capacity("even", 8 * draw.integer(2, 20), 8, 1, 1.0)
    yield capacity("one_over", 8 * draw.integer(2, 20) + 1, 8, 1, 1.0)
    yield capacity("two_choices", 8 * draw.integer(2, 20), 8, 2, 1.0)
    yield capacity("factor", 16 * draw.integer(2, 20) + 4, 8, 2, 1.25)
    yield capacity("rounded_once", 8 * draw.integer(2, 20) + 1, 8, 1, 1.5)
    yield capacity("fewer_than_experts", 3, 8, 1, 0.5)

    def gates(*rows: int, experts: int, k: int) -> torch.Tensor:
        """Gates that do not add up to 1, so that dividing them by their sum shows, and more of some experts."""
        favoured = apart(*rows, experts) + torch.linspace(2, 0, experts)
        chosen = torch.zeros_like(favoured).scatter(-1, favoured.topk(k).indices, 1.0)
        return chosen * draw.uniform(*rows, experts, low=0.1, high=0.45)

    def drop(name: str, matrix: torch.Tensor, room: int, group: str) -> Case:
        return Case(name, "run_drop_over_capacity", {"gates": matrix, "capacity": room}, group)

    yield drop("top_one", gates(8, experts=3, k=1), 2, "drop")
    yield drop("top_two", gates(9, experts=4, k=2), 3, "drop")
    yield drop("room_for_one", gates(6, experts=3, k=2), 1, "drop")
    yield drop("room_for_all", gates(5, experts=3, k=2), 5, "drop")
    yield drop("two_sequences", gates(2, 7, experts=3, k=2), 3, "drop_batch")
    yield drop("four_dimensions", gates(2, 2, 5, experts=3, k=1), 2, "drop_batch")

    def gradients(name: str, adapter: str, inputs: dict[str, Any], wrt: str = "logits") -> Case:
        given = {"adapter": adapter, "inputs": inputs, "wrt": [wrt]}
        cotangent = draw.normal(*inputs[wrt].shape) * (inputs[wrt] != 0)  # a gate of 0 is none
        return Case(name, "gradients", {**given, "cotangent": cotangent}, "gradients")

    yield gradients("top_k", "run_top_k_gates", {"logits": apart(4, 5), "top_k": 3, "renormalise": True})
    yield gradients("as_they_are", "run_top_k_gates", {"logits": apart(4, 5), "top_k": 2, "renormalise": False})
    yield gradients("biased", "run_biased_gates", {"logits": apart(4, 5), "bias": favoured, "top_k": 3})
    table = torch.tensor([[0, 1, 2], [2, 3, 4], [4, 0, 3]])
    yield gradients(
        "hash", "run_hash_gates", {"logits": apart(4, 5), "token_ids": draw.integers(0, 3, 4), "table": table}
    )
    given = {"gates": gates(6, experts=3, k=2), "capacity": 2}
    yield gradients("dropped", "run_drop_over_capacity", given, "gates")

    given = {"logits": apart(4, 5), "top_k": 2, "renormalise": True}
    yield Case("logits", "inputs_after", {"adapter": "run_top_k_gates", "inputs": given}, "untouched")
    given = {"gates": gates(6, experts=3, k=2), "capacity": 2}
    yield Case("gates", "inputs_after", {"adapter": "run_drop_over_capacity", "inputs": given}, "untouched")
