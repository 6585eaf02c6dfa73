"""Cases for LayerNorm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance

_FAR = 300.0
"""A mean so large that the mean of squares, 90,000, is known to about 0.01 in float32, and the variance of 1 no better
where it is made of it. Taken away first, the mean itself is off by some 1e-5."""


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(x: torch.Tensor, gain: bool = True, bias: bool = True, eps: float = 1e-5) -> dict[str, Any]:
        width, dtype = x.shape[-1], x.dtype
        weight = draw.uniform(width, low=0.5, high=1.5, dtype=dtype) if gain else None
        return {
            "d_model": width,
            "eps": eps,
            "weight": weight,
            "bias": draw.normal(width, dtype=dtype) if bias else None,
            "in_features": x,
        }

    def case(name: str, x: torch.Tensor, group: str = "reference", **options: Any) -> Case:
        return Case(name, "run_layernorm", inputs(x), group, **options)

    def plain(name: str, x: torch.Tensor, group: str, eps: float = 1e-5, **options: Any) -> Case:
        """Without gain and bias, which are other claims."""
        return Case(name, "run_layernorm", inputs(x, False, False, eps), group, **options)

    # Here and where eps is not what is asked about, the variance is so large that eps does not show.
    yield case("batch", draw.normal(2, 5, 12, scale=4))
    # Every order of the dimensions fits, so an average over a wrong one shows in the values only.
    yield case("all_sizes_equal", draw.normal(6, 6, 6, scale=4) + draw.normal(6, 6, 1))
    yield Case("gain_only", "run_layernorm", inputs(draw.normal(2, 3, 8) + 1, bias=False), "without_bias")
    yield plain("plain", draw.normal(2, 3, 8) * 3 + 1, "without_either")
    apart = draw.uniform(3, 2, low=2, high=4) * torch.tensor([1.0, -1.0])
    yield plain("two_features", apart, "without_either")

    # Where the variance is about eps, its place inside or outside the root decides every digit.
    yield plain("small_values", draw.normal(2, 3, 8, scale=3e-3), "eps")
    yield plain("given_eps", draw.normal(2, 3, 8), "eps", eps=0.3)
    yield plain("one_feature", draw.normal(2, 3, 1), "eps")
    yield plain("rows_of_equal_values", torch.cat([torch.full((1, 2, 8), 3.0), draw.normal(1, 2, 8)]), "eps")

    yield plain("mean_of_300", draw.normal(2, 3, 16) + _FAR, "far_from_zero", tolerance=Tolerance(2e-4))

    yield plain("no_batch_dimension", draw.normal(9, scale=4), "shapes")
    yield plain("four_dimensions", draw.normal(2, 1, 3, 6, scale=4), "shapes")
    yield plain("transposed_batch", draw.normal(3, 2, 6, scale=4).transpose(0, 1), "shapes")
    yield plain("transposed", draw.normal(2, 6, 3, scale=4).transpose(1, 2), "shapes")

    for name, dtype, relative in (("bfloat16", torch.bfloat16, 2e-2), ("float16", torch.float16, 2e-3)):
        yield plain(name, draw.normal(2, 3, 16, dtype=dtype), "half", tolerance=Tolerance(relative))
    # Squares of 300 overflow float16, whose largest number is 65504.
    yield plain("float16_large", draw.normal(2, 3, 16, scale=300).half(), "half", tolerance=Tolerance(2e-3))
    yield case("float16_gain_and_bias", draw.normal(2, 3, 16).half(), "half", tolerance=Tolerance(2e-3))
    yield plain("float64", draw.normal(2, 2, 8, dtype=torch.float64), "half")

    yield Case(
        "batch", "inputs_after", {"adapter": "run_layernorm", "inputs": inputs(draw.normal(2, 2, 6))}, "untouched"
    )
    for name, given in (
        ("plain_gradient", inputs(draw.normal(2, 3, 8, scale=4), False, False)),
        ("gradient", inputs(draw.normal(2, 3, 8))),
    ):
        arguments = {"adapter": "run_layernorm", "inputs": given, "cotangent": draw.normal(2, 3, 8)}
        yield Case(name, "gradients", arguments | {"wrt": ["in_features"]}, "gradients")
