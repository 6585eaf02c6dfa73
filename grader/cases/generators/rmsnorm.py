"""Cases for RMSNorm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(x: torch.Tensor, eps: float = 1e-5) -> dict[str, Any]:
        width = x.shape[-1]
        gain = draw.uniform(width, low=0.5, high=1.5, dtype=x.dtype)
        return {"d_model": width, "eps": eps, "weights": gain, "in_features": x}

    def case(name: str, x: torch.Tensor, eps: float = 1e-5, group: str = "reference", **options: Any) -> Case:
        return Case(name, "run_rmsnorm", inputs(x, eps), group, **options)

    yield case("batch", draw.normal(4, 12, 64))
    yield case("large_mean", draw.normal(2, 6, 24) + 7)
    yield case("rows_of_different_size", draw.normal(2, 4, 16) * torch.tensor([1.0, 10.0, 1e2, 1e3])[:, None])
    # Every order of the dimensions fits, so an average over a wrong one shows in the values only.
    yield case("all_sizes_equal", draw.normal(8, 8, 8))
    yield case("one_feature", draw.uniform(2, 3, 1, low=-2, high=-1))

    yield case("no_batch_dimension", draw.normal(32), group="shapes")
    yield case("matrix", draw.normal(5, 8), group="shapes")
    yield case("four_dimensions", draw.normal(2, 3, 5, 16), group="shapes")

    # Where the mean square is about eps, its place inside or outside the root decides every digit.
    yield case("small_values", draw.normal(2, 8, 16, scale=3e-3), group="eps")
    yield case("given_eps", draw.normal(2, 8, 16), eps=0.3, group="eps")
    yield case("rows_of_zeros", torch.cat([torch.zeros(1, 2, 16), draw.normal(1, 2, 16)]), group="eps")

    yield case("transposed_batch", draw.normal(6, 2, 8).transpose(0, 1), group="strided")
    yield case("transposed", draw.normal(2, 16, 6).transpose(1, 2), group="strided")
    yield case("every_other_column", draw.normal(2, 5, 48)[..., ::2], group="strided")

    for name, dtype, relative in (("bfloat16", torch.bfloat16, 2e-2), ("float16", torch.float16, 2e-3)):
        yield case(name, draw.normal(2, 4, 32, dtype=dtype), group="half", tolerance=Tolerance(relative))
    # Squares of 300 overflow float16, whose largest number is 65504.
    yield case("float16_large", draw.normal(2, 4, 32, scale=300).half(), group="half", tolerance=Tolerance(2e-3))

    untouched = {"adapter": "run_rmsnorm", "inputs": inputs(draw.normal(2, 3, 8))}
    yield Case("batch", "inputs_after", untouched, "untouched")
    differentiated = {
        "adapter": "run_rmsnorm",
        "inputs": inputs(draw.normal(2, 3, 8)),
        "wrt": ["in_features"],
        "cotangent": draw.normal(2, 3, 8),
    }
    yield Case("batch", "gradients", differentiated, "gradients")
