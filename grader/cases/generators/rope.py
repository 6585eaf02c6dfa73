"""Cases for rotary position embedding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..assets import Recipe
from ..case import Case, Draw
from ..compare import Tolerance


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(
        x: torch.Tensor | Recipe, positions: torch.Tensor | None = None, theta: float = 1e4, max_seq_len: int = 40
    ) -> dict[str, Any]:
        return {
            "d_k": x.shape[-1],
            "theta": theta,
            "max_seq_len": max_seq_len,
            "in_query_or_key": x,
            "token_positions": torch.arange(x.shape[-2]) if positions is None else positions,
        }

    def case(
        name: str, x: torch.Tensor | Recipe, group: str = "reference", tolerance: float = 2e-5, **given: Any
    ) -> Case:
        return Case(name, "run_rope", inputs(x, **given), group, Tolerance(tolerance))

    def shuffled(length: int, rows: int = 1) -> torch.Tensor:
        """Different positions in any order, one set per row."""
        return torch.stack([torch.from_numpy(draw.random.permutation(length)) for _ in range(rows)])

    # One pair, whose angle is the position itself: neither which features form a pair nor theta matters.
    yield case("from_zero", draw.normal(3, 12, 2), group="one_pair")
    yield case("any_theta", draw.normal(2, 9, 2), theta=draw.number(20, 5000), group="one_pair")
    yield case("one_token", draw.normal(2, 1, 2), group="one_pair")

    yield case("batch", draw.normal(3, 12, 16))
    yield case("small_head", draw.normal(2, 6, 4))
    yield case("longest_sequence", draw.normal(2, 10, 8), max_seq_len=10)
    # Batch, sequence and features of one size: a rotation along a wrong dimension shows in the values only.
    yield case("all_sizes_equal", draw.normal(6, 6, 6))
    # Longer, wider and larger than a table or a shortcut might end at.
    yield case("long", draw.recipe(1, 600, 32, scale=100.0), max_seq_len=640, tolerance=2e-4)
    usual = draw.recipe(64, 256, 64, scale=1000.0)
    yield Case("usual_sizes", "run_rope", inputs(usual, max_seq_len=256), tolerance=Tolerance(1e-4), stored=False)

    yield case("small", draw.normal(2, 8, 12), theta=50.0, group="theta")
    yield case("large", draw.normal(2, 20, 12), theta=5e5, group="theta")
    yield case("drawn", draw.normal(2, 8, 6), theta=draw.number(100, 5000), group="theta")

    yield case("start_above_zero", draw.normal(2, 7, 8), positions=torch.arange(11, 18), group="positions")
    yield case("gaps", draw.normal(2, 6, 8), positions=torch.arange(0, 18, 3), group="positions")
    yield case("shuffled", draw.normal(2, 12, 8), positions=shuffled(12)[0], group="positions")
    yield case("backwards", draw.normal(2, 7, 8), positions=torch.arange(6, -1, -1), group="positions")
    yield case("repeated", draw.normal(2, 6, 8), positions=torch.tensor([4, 4, 0, 9, 9, 4]), group="positions")
    yield case(
        "last_position", draw.normal(2, 2, 8), positions=torch.tensor([0, 15]), max_seq_len=16, group="positions"
    )
    yield case("one_token_late", draw.normal(2, 1, 8), positions=torch.tensor([23]), group="positions")

    yield case("no_batch", draw.normal(9, 8), group="no_batch")
    yield case("heads", draw.normal(2, 3, 7, 8), group="heads")
    yield case("as_many_heads_as_tokens", draw.normal(2, 5, 5, 8), group="heads")
    yield case("as_many_sequences_as_tokens", draw.normal(6, 2, 6, 8), group="heads")
    yield case("heads_shuffled", draw.normal(2, 3, 8, 4), positions=shuffled(8)[0], group="heads")
    yield case("one_row_for_sequences", draw.normal(3, 8, 4), positions=shuffled(8), group="leading_one")
    yield case("one_row_for_heads", draw.normal(2, 3, 7, 8), positions=torch.arange(7)[None], group="leading_one")

    yield case("row_per_sequence", draw.normal(3, 8, 4), positions=shuffled(8, rows=3), group="rows")
    yield case("as_many_rows_as_tokens", draw.normal(6, 6, 4), positions=shuffled(6, rows=6), group="rows")
    yield case("row_for_all_heads", draw.normal(3, 2, 7, 4), positions=shuffled(7, rows=3)[:, None], group="rows")
    yield case("row_for_as_many_heads", draw.normal(3, 3, 7, 4), positions=shuffled(7, rows=3)[:, None], group="rows")
    yield case(
        "row_per_head", draw.normal(2, 3, 6, 4), positions=shuffled(6, rows=6).unflatten(0, (2, 3)), group="rows"
    )

    # An angle in float32 is off by up to 3e-4 radians at 4,096; in half precision by more than 1.
    far = torch.sort(draw.integers(2000, 4096, 8)).values
    yield case("thousands", draw.normal(2, 8, 8), positions=far, max_seq_len=4096, group="far", tolerance=1e-3)
    farther = torch.sort(draw.integers(40_000, 50_000, 8)).values
    yield case(
        "ten_thousands", draw.normal(2, 8, 8), positions=farther, max_seq_len=50_000, group="far", tolerance=1e-2
    )

    yield case("float64", draw.normal(2, 9, 8, dtype=torch.float64), group="float64")
    # At positions in the hundreds, angles that are computed in half precision are off by a radian.
    hundreds = torch.sort(draw.integers(200, 500, 9)).values
    for name, dtype, tolerance in (("bfloat16", torch.bfloat16, 2e-2), ("float16", torch.float16, 3e-3)):
        yield case(name, draw.normal(2, 9, 8, dtype=dtype), group="half", tolerance=tolerance)
        far_out = {"positions": hundreds, "max_seq_len": 512}
        yield case(f"{name}_far", draw.normal(2, 9, 8, dtype=dtype), group="half", tolerance=tolerance, **far_out)

    yield case("transposed", draw.normal(7, 3, 8).transpose(0, 1), group="strided")
    yield case("slice_of_wider_rows", draw.normal(2, 7, 24)[..., 8:16], group="strided")

    untouched = inputs(draw.normal(2, 5, 8), positions=shuffled(5)[0])
    yield Case("batch", "inputs_after", {"adapter": "run_rope", "inputs": untouched}, "untouched")
    for name, shape, positions in (("batch", (2, 5, 8), shuffled(5)[0]), ("from_zero", (3, 5, 4), torch.arange(5))):
        differentiated = {
            "adapter": "run_rope",
            "inputs": inputs(draw.normal(*shape), positions=positions),
            "wrt": ["in_query_or_key"],
            "cotangent": draw.normal(*shape),
        }
        yield Case(name, "gradients", differentiated, "gradients")
