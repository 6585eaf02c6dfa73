"""Cases for RMSNorm."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..case import Case, Draw
from ..compare import Tolerance


def generate(draw: Draw) -> Iterator[Case]:
    def case(name: str, x: torch.Tensor, eps: float = 1e-5, group: str = "reference", **options) -> Case:
        width = x.shape[-1]
        gain = draw.uniform(width, low=0.5, high=1.5, dtype=x.dtype)
        inputs = {"d_model": width, "eps": eps, "weights": gain, "in_features": x}
        return Case(name, "run_rmsnorm", inputs, group, **options)

    yield case("batch", draw.normal(4, 12, 64))
    yield case("one_vector", draw.normal(1, 8))
    yield case("no_batch_dimension", draw.normal(32))
    yield case("four_dimensions", draw.normal(2, 3, 5, 16))
    yield case("large_mean", draw.normal(6, 24) + 7)
    # Where the mean square is about eps, its place inside or outside the root decides every digit.
    yield case("small_values", draw.normal(8, 16, scale=3e-3))
    yield case("eps_from_argument", draw.normal(8, 16), eps=0.3)
    yield case("rows_of_zeros", torch.cat([torch.zeros(2, 16), draw.normal(2, 16)]))
    yield case("transposed", draw.normal(16, 6).T, group="strided")
    yield case("every_other_column", draw.normal(5, 48)[:, ::2], group="strided")
    for name, dtype, relative in (("bfloat16", torch.bfloat16, 1e-2), ("float16", torch.float16, 2e-3)):
        yield case(name, draw.normal(4, 32, dtype=dtype), group="half", tolerance=Tolerance(relative))
    # Squares of 300 overflow float16, whose largest number is 65504.
    yield case("float16_large", draw.normal(4, 32, scale=300).half(), group="half", tolerance=Tolerance(2e-3))
