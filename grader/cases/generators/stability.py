"""Cases for soft-cap, z-loss, smoothed labels and tied embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw


def generate(draw: Draw) -> Iterator[Case]:
    def capped(name: str, x: torch.Tensor, cap: float, group: str = "soft_cap") -> Case:
        return Case(name, "run_soft_cap", {"in_features": x, "cap": cap}, group)

    # Numbers at the cap, far below it and far above it.
    yield capped("around_cap", draw.normal(2, 3, 4, scale=5.0), draw.number(4, 6))
    yield capped("far_below_cap", draw.normal(8), 30.0)
    yield capped("far_above_cap", draw.normal(2, 4, scale=400.0), draw.number(1, 2))
    yield capped("float64", draw.normal(3, scale=3.0, dtype=torch.float64), 2.0)

    def attention(name: str, mask: torch.Tensor | None, cap: float, group: str, *heads: int) -> Case:
        # Queries so large that scores reach the cap.
        given = {
            "Q": draw.normal(*heads, 4, 6, scale=4.0),
            "K": draw.normal(*heads, 5, 6),
            "V": draw.normal(*heads, 5, 3),
        }
        return Case(name, "run_soft_cap_attention", {**given, "mask": mask, "cap": cap}, group)

    yield attention("batch", None, draw.number(1.5, 2.5), "capped_attention", 2)
    yield attention("heads", None, draw.number(2.5, 3.5), "capped_attention", 2, 2)
    causal = torch.ones(4, 5).tril(1).bool()
    yield attention("causal", causal, draw.number(1.5, 2.5), "masked_attention", 2)
    yield attention("one_key", torch.eye(4, 5).bool(), draw.number(1.5, 2.5), "masked_attention")

    def z_loss(name: str, logits: torch.Tensor, coefficient: float, group: str = "z_loss") -> Case:
        return Case(name, "run_z_loss", {"logits": logits, "coefficient": coefficient}, group)

    yield z_loss("batch", draw.normal(2, 3, 7, scale=2.0), draw.number(0.3, 0.7))
    yield z_loss("rows_apart", draw.normal(3, 5) + torch.tensor([[-6.0], [0.0], [9.0]]), draw.number(1e-3, 2e-3))
    yield z_loss("one_row", draw.normal(6), 1.0)
    yield z_loss("thousands", draw.normal(3, 5) + draw.uniform(3, 1, low=2e3, high=4e3), 1e-4, "z_loss_far")
    yield z_loss("minus_thousands", draw.normal(3, 5) - draw.uniform(3, 1, low=2e3, high=4e3), 1e-4, "z_loss_far")

    def smoothed(name: str, logits: torch.Tensor, smoothing: float, group: str = "smoothing") -> Case:
        targets = draw.integers(0, logits.shape[-1], *logits.shape[:-1])
        given = {"logits": logits, "targets": targets, "smoothing": smoothing}
        return Case(name, "run_smoothed_cross_entropy", given, group)

    yield smoothed("batch", draw.normal(2, 3, 4, scale=2.0), draw.number(0.2, 0.3))
    yield smoothed("a_tenth", draw.normal(4, 6, scale=2.0), 0.1)
    yield smoothed("none", draw.normal(4, 6, scale=2.0), 0.0)
    yield smoothed("thousands", draw.normal(3, 5, scale=2e3), 0.2, "smoothing_far")

    def tied(scaled: bool, vocab_size: int = 7, d_model: int = 5) -> dict[str, Any]:
        weight = draw.normal(vocab_size, d_model)
        return {"vocab_size": vocab_size, "d_model": d_model, "scaled": scaled, "weight": weight}

    for scaled, name in ((True, "scaled"), (False, "not_scaled")):
        ids = draw.integers(0, 7, 2, 3)
        yield Case(name, "run_tied_embedding", {**tied(scaled), "token_ids": ids}, "embedding")
        yield Case(name, "run_tied_logits", {**tied(scaled), "in_features": draw.normal(2, 3, 5)}, "logits")
        given = {**tied(scaled), "token_ids": ids, "targets": draw.integers(0, 7, 2, 3)}
        yield Case(name, "run_tied_gradient", given, "tied_gradient")

    def gradients(adapter: str, wrt: str, inputs: dict[str, Any], *shape: int) -> Case:
        given = {"adapter": adapter, "inputs": inputs, "wrt": [wrt]}
        return Case(adapter, "gradients", {**given, "cotangent": draw.uniform(*shape, low=0.5, high=1.5)}, "gradients")

    yield gradients("run_soft_cap", "in_features", {"in_features": draw.normal(3, 4, scale=3.0), "cap": 2.5}, 3, 4)
    yield gradients("run_z_loss", "logits", {"logits": draw.normal(3, 5) + 2.0, "coefficient": 0.5})
    given = {"logits": draw.normal(3, 5), "targets": draw.integers(0, 5, 3), "smoothing": 0.2}
    yield gradients("run_smoothed_cross_entropy", "logits", given)

    given = {"in_features": draw.normal(2, 4), "cap": 2.0}
    yield Case("soft_cap", "inputs_after", {"adapter": "run_soft_cap", "inputs": given}, "untouched")
    given = {"logits": draw.normal(3, 5), "coefficient": 0.5}
    yield Case("z_loss", "inputs_after", {"adapter": "run_z_loss", "inputs": given}, "untouched")
