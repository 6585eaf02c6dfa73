"""Cases for RMSNorm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..assets import Recipe
from ..case import Case, Draw
from ..compare import Tolerance


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(x: torch.Tensor | Recipe, eps: float = 1e-5, gain: torch.Tensor | None = None) -> dict[str, Any]:
        width = x.shape[-1]
        if gain is None:
            dtype = x.dtype if isinstance(x, torch.Tensor) else torch.float32
            gain = draw.uniform(width, low=0.5, high=1.5, dtype=dtype)
        return {"d_model": width, "eps": eps, "weights": gain, "in_features": x}

    def case(name: str, x: torch.Tensor, eps: float = 1e-5, group: str = "reference", **options: Any) -> Case:
        return Case(name, "run_rmsnorm", inputs(x, eps), group, **options)

    def plain(name: str, x: torch.Tensor | Recipe, group: str, eps: float = 1e-5, **options: Any) -> Case:
        """With gains of 1, whose place is another claim."""
        return Case(name, "run_rmsnorm", inputs(x, eps, torch.ones(x.shape[-1])), group, **options)

    yield case("batch", draw.normal(4, 12, 64))
    yield case("large_mean", draw.normal(2, 6, 24) + 7)
    yield case("rows_of_different_size", draw.normal(2, 4, 16) * torch.tensor([1.0, 10.0, 1e2, 1e3])[:, None])
    # Every order of the dimensions fits, so an average over a wrong one shows in the values only.
    yield case("all_sizes_equal", draw.normal(12, 12, 12))

    # Where the mean square is about eps, its place inside or outside the root decides every digit.
    yield plain("small_values", draw.normal(2, 8, 16, scale=3e-3), "eps")
    yield plain("given_eps", draw.normal(2, 8, 16), "eps", eps=0.3)
    yield plain("rows_of_zeros", torch.cat([torch.zeros(1, 2, 16), draw.normal(1, 2, 16)]), "eps")

    yield plain("many_vectors", draw.recipe(4, 60, 32), "large")
    yield plain("wide", draw.recipe(1, 2, 4000), "large")
    yield plain("large_values", draw.normal(2, 4, 16, scale=1e6), "large")
    yield plain("much_larger", draw.recipe(24, 256, 192), "large", stored=False)

    yield case("no_batch_dimension", draw.normal(32), group="shapes")
    yield case("matrix", draw.normal(5, 8), group="shapes")
    yield case("four_dimensions", draw.normal(2, 3, 5, 16), group="shapes")
    yield case("one_feature", draw.uniform(2, 3, 1, low=-2, high=-1), group="shapes")

    yield case("transposed_batch", draw.normal(6, 2, 8).transpose(0, 1), group="strided")
    yield case("transposed", draw.normal(2, 16, 6).transpose(1, 2), group="strided")
    yield case("every_other_column", draw.normal(2, 5, 48)[..., ::2], group="strided")

    for name, dtype, relative in (("bfloat16", torch.bfloat16, 2e-2), ("float16", torch.float16, 2e-3)):
        yield case(name, draw.normal(2, 4, 32, dtype=dtype), group="half", tolerance=Tolerance(relative))
    # Squares of 300 overflow float16, whose largest number is 65504.
    yield case("float16_large", draw.normal(2, 4, 32, scale=300).half(), group="half", tolerance=Tolerance(2e-3))
    yield case("float64", draw.normal(2, 4, 16, dtype=torch.float64), group="half")

    untouched = {"adapter": "run_rmsnorm", "inputs": inputs(draw.normal(2, 3, 8))}
    yield Case("batch", "inputs_after", untouched, "untouched")
    arguments = {"adapter": "run_rmsnorm", "inputs": inputs(draw.normal(2, 3, 8)), "cotangent": draw.normal(2, 3, 8)}
    yield Case("batch", "gradients", arguments | {"wrt": ["in_features"]}, "gradients")
    yield Case("batch", "parameter_gradients", arguments, "gain_gradients")
