"""Cases for SiLU and for the SwiGLU feed-forward network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from ..assets import Recipe
from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import usual_d_ff


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(x: torch.Tensor | Recipe, d_ff: int | None = None, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
        d_model = x.shape[-1]
        d_ff = usual_d_ff(d_model) if d_ff is None else d_ff
        weights = {
            # Large enough that the sigmoid in SiLU bends, so that its place shows.
            "w1_weight": draw.recipe(d_ff, d_model, scale=1.5 / math.sqrt(d_model)),
            "w2_weight": draw.recipe(d_model, d_ff, scale=1 / math.sqrt(d_ff)),
            "w3_weight": draw.recipe(d_ff, d_model, scale=1.5 / math.sqrt(d_model)),
        }
        given = weights if dtype == torch.float32 else {k: w.tensor().to(dtype) for k, w in weights.items()}
        return {"d_model": d_model, "d_ff": d_ff, **given, "in_features": x}

    def case(
        name: str, x: torch.Tensor | Recipe, d_ff: int | None = None, group: str = "reference", **options: Any
    ) -> Case:
        return Case(name, "run_swiglu", inputs(x, d_ff), group, **options)

    def silu(name: str, x: torch.Tensor | Recipe, group: str = "silu", **options: Any) -> Case:
        return Case(name, "run_silu", {"in_features": x}, group, **options)

    yield silu("matrix", draw.normal(6, 8, scale=2))
    yield silu("both_signs", torch.tensor([[-6.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 6.0]]))
    yield silu("three_dimensions", draw.normal(2, 3, 5))
    yield silu("many", draw.recipe(2, 3500, scale=3))
    yield silu("float64", draw.normal(3, 5, scale=2, dtype=torch.float64))
    yield silu("float16", draw.normal(3, 5, scale=2, dtype=torch.float16), tolerance=Tolerance(3e-3))
    yield silu("bfloat16", draw.normal(3, 5, scale=2, dtype=torch.bfloat16), tolerance=Tolerance(2e-2))
    # e^100 is beyond float32; what the formula gives is not.
    yield silu("far_out", torch.tensor([[-1e4, -200.0, -100.0, 100.0, 200.0, 1e4]]), group="silu_far_out")

    yield case("batch", draw.normal(2, 5, 24))
    yield case("one_sequence", draw.normal(1, 3, 48))
    # As many vectors as each has features, so that a product over the wrong dimension fits, and shows in the values.
    yield case("as_many_as_features", draw.normal(24, 2, 24))
    yield case("as_long_as_features", draw.normal(1, 24, 24))

    yield case("many_vectors", draw.recipe(6, 50, 24), group="large")
    yield case("large_activations", draw.normal(1, 4, 24, scale=30), group="large")
    yield case("much_larger", draw.recipe(4, 128, 192), group="large", stored=False)

    yield case("narrower_than_input", draw.normal(2, 5, 12), 7, group="other_d_ff")
    yield case("all_sizes_equal", draw.normal(8, 8, 8), 8, group="other_d_ff")
    yield case("wider_than_usual", draw.normal(1, 4, 24), 100, group="other_d_ff")
    yield case("narrower_than_usual", draw.normal(1, 4, 24), 40, group="other_d_ff")

    yield case("one_vector", draw.normal(24), group="shapes")
    yield case("matrix", draw.normal(7, 24), group="shapes")
    yield case("four_dimensions", draw.normal(2, 3, 2, 24), group="shapes")

    yield case("transposed_batch", draw.normal(6, 2, 24).transpose(0, 1), group="strided")
    yield case("every_other_column", draw.normal(2, 3, 48)[..., ::2], group="strided")

    for name, dtype, relative in (
        ("float64", torch.float64, 2e-5),
        ("float16", torch.float16, 6e-3),
        ("bfloat16", torch.bfloat16, 4e-2),
    ):
        given = inputs(draw.normal(1, 3, 24, dtype=dtype), dtype=dtype)
        yield Case(name, "in_dtype", {"adapter": "run_swiglu", "inputs": given}, "dtypes", Tolerance(relative))

    untouched = {"adapter": "run_swiglu", "inputs": inputs(draw.normal(2, 2, 24))}
    yield Case("swiglu", "inputs_after", untouched, "untouched")
    arguments = {"adapter": "run_swiglu", "inputs": inputs(draw.normal(2, 2, 24)), "cotangent": draw.normal(2, 2, 24)}
    differentiated = arguments | {"wrt": ["in_features"]}
    yield Case("swiglu", "gradients", differentiated, "gradients", tolerance=Tolerance(5e-5))
    yield Case("swiglu", "parameter_gradients", arguments, "weight_gradients", tolerance=Tolerance(5e-5))

    x = {"in_features": draw.normal(3, 8)}
    yield Case("untouched", "inputs_after", {"adapter": "run_silu", "inputs": x}, "silu_untouched")
    arguments = {"adapter": "run_silu", "inputs": x, "cotangent": draw.normal(3, 8), "wrt": ["in_features"]}
    yield Case("gradients", "gradients", arguments, "silu_gradients")
