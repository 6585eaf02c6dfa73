"""Cases for RMSNorm as an autograd function in Triton."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance

ADAPTER = "get_rmsnorm_autograd_function_triton"
_PRECISE = Tolerance(1e-4)
_HALF = Tolerance(4e-3)  # one rounding to float16, in forward or backward


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(*shape: int, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> dict[str, Any]:
        return {
            "factory": ADAPTER,
            "x": draw.normal(*shape, dtype=dtype, scale=scale),
            "weight": draw.uniform(shape[-1], low=0.5, high=2.0, dtype=dtype),
        }

    def output(name: str, group: str, *shape: int, tolerance: Tolerance = _PRECISE, **options: Any) -> Case:
        return Case(f"{name}_output", "fused_rmsnorm_output", inputs(*shape, **options), group, tolerance)

    def gradients(name: str, group: str, *shape: int, tolerance: Tolerance = _PRECISE, **options: Any) -> Case:
        given = inputs(*shape, **options)
        given["cotangent"] = draw.normal(*shape, dtype=given["x"].dtype)
        return Case(f"{name}_gradients", "fused_rmsnorm_gradients", given, group, tolerance)

    yield output("rows", "output", 20, 64)
    yield output("batch", "output", 3, 8, 32)
    # Wider and larger than a shortcut might allow for.
    wide = {"factory": ADAPTER, "x": draw.recipe(4, 2500, scale=1e5), "weight": draw.recipe(2500)}
    yield Case("wide_output", "fused_rmsnorm_output", wide, "output", _PRECISE)
    yield output("small_values", "eps", 8, 32, scale=3e-3)
    yield gradients("rows", "gradients", 20, 64)
    yield gradients("batch", "gradients", 3, 8, 32)
    yield gradients("small_values", "shapes_gradients", 8, 32, scale=3e-3)

    for name, *shape in (("odd_width", 9, 50), ("narrow", 70, 3), ("one_vector", 40), ("four_dimensions", 2, 3, 5, 24)):
        yield output(name, "shapes", *shape)
        yield gradients(name, "shapes_gradients", *shape)

    yield output("half", "half", 12, 64, dtype=torch.float16, tolerance=_HALF)
    yield output("half_large", "half", 12, 64, dtype=torch.float16, tolerance=_HALF, scale=600.0)
    yield gradients("half", "half_gradients", 12, 64, dtype=torch.float16, tolerance=_HALF)

    apart = inputs(32, 20)
    apart["x"] = apart["x"].T.contiguous().T
    yield Case("columns_first", "fused_rmsnorm_output", apart, "strided", _PRECISE)
