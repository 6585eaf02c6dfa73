"""Cases for layers of two kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import block_shapes, draw_weights, weight_recipes

STACK, ATTENTION = "run_interleaved_stack", "run_windowed_self_attention"
# Up to four blocks on end.
_LAYERS = Tolerance(1e-4)
D_MODEL, D_FF = 24, 64


def generate(draw: Draw) -> Iterator[Case]:
    for num_layers, every in ((8, 4), (7, 3), (6, 2), (draw.integer(9, 15), 5)):
        group = {"num_layers": num_layers, "every": every}
        yield Case(f"every_{every}", "run_layer_kinds", group, "kinds")
    yield Case("all_full", "run_layer_kinds", {"num_layers": 3, "every": 1}, "one_kind")
    yield Case("none_full", "run_layer_kinds", {"num_layers": 3, "every": 4}, "one_kind")

    def attention(name: str, group: str, *shape: int, theta: float | None = None, window: int | None = None) -> Case:
        d_model = shape[-1]
        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight")
        weights = draw_weights(draw, dict.fromkeys(names, (d_model, d_model)))
        sizes = {"d_model": d_model, "num_heads": 2, "max_seq_len": 16, "theta": theta, "window": window}
        given = {**sizes, **weights, "in_features": draw.normal(*shape)}
        return Case(name, ATTENTION, given, group, Tolerance(5e-5))

    yield attention("batch", "plain", 2, 4, 8)
    yield attention("one_sequence", "plain", 1, 6, 4)
    yield attention("two_keys", "window", 2, 5, 8, window=2)
    yield attention("three_keys", "window", 1, 7, 8, window=3)
    yield attention("one_key", "window", 1, 4, 8, window=1)
    yield attention("wide_window", "window", 1, 4, 8, window=9)
    yield attention("rotated", "rope", 2, 4, 8, theta=30.0)
    yield attention("rotated_one_sequence", "rope", 1, 5, 12, theta=100.0)

    def stack(num_layers: int, every: int, window: int, x: torch.Tensor) -> dict[str, Any]:
        shapes = {
            f"layers.{i}.{name}": shape
            for i in range(num_layers)
            for name, shape in block_shapes(D_MODEL, D_FF).items()
        }
        sizes = {"num_layers": num_layers, "d_model": D_MODEL, "num_heads": 2, "d_ff": D_FF, "max_seq_len": 16}
        settings = {"theta": 30.0, "window": window, "every": every}
        return {**sizes, **settings, "weights": weight_recipes(draw, shapes), "in_features": x}

    def layers(name: str, group: str, given: dict[str, Any]) -> Case:
        return Case(name, STACK, given, group, _LAYERS)

    yield layers("window_of_two", "one_window", stack(1, 2, 2, draw.normal(2, 4, D_MODEL)))
    yield layers("window_of_three", "one_window", stack(1, 5, 3, draw.normal(1, 5, D_MODEL)))
    yield layers("full", "one_full", stack(1, 1, 2, draw.normal(2, 4, D_MODEL)))
    yield layers("full_window_of_one", "one_full", stack(1, 1, 1, draw.normal(1, 5, D_MODEL)))
    yield layers("window_and_full", "stack", stack(2, 2, 2, draw.normal(1, 5, D_MODEL)))
    yield layers("every_third", "stack", stack(3, 3, 2, draw.normal(1, 6, D_MODEL)))
    yield layers("one_token", "one_token", stack(2, 2, 2, draw.normal(2, 1, D_MODEL)))
    given = {"adapter": STACK, "inputs": stack(2, 2, 2, draw.normal(1, 1, D_MODEL)), "wrt": ["in_features"]}
    yield Case(
        "one_token", "gradients", {**given, "cotangent": draw.normal(1, 1, D_MODEL)}, "gradients", Tolerance(2e-4)
    )
