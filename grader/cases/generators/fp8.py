"""Cases for formats of 8 and 4 bits, their scales, and products in them.

No quotient of a number and its scale lies near the middle of two numbers of the format, where a last bit would decide.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..case import Case, Draw

_FORMATS = {"e4m3": (-6, 3, 448.0), "e5m2": (-14, 2, 57344.0), "e2m1": (0, 1, 6.0)}
_BEYOND = {"e4m3": [450.0, 463.0], "e5m2": [58000.0, 61400.0, 61500.0, 1e6], "e2m1": [6.9, 7.1, 8.0, 100.0]}


def generate(draw: Draw) -> Iterator[Case]:
    def signs(*shape: int) -> torch.Tensor:
        return (2 * draw.integers(0, 2, *shape) - 1).float()

    def rounded(name: str, x: torch.Tensor, format: str) -> Case:
        return Case(name, "run_to_small_format", {"in_features": x, "format": format}, format)

    for format, (lowest, bits, largest) in _FORMATS.items():
        yield rounded("numbers", draw.uniform(2, 8, low=1.0, high=4.0) * signs(2, 8), format)
        steps = torch.arange(2**bits) + 0.5
        yield rounded("ties", (1 + steps / 2**bits) * signs(2**bits), format)
        small = draw.uniform(8, low=0.1, high=1.5 * 2**bits) * signs(8)
        yield rounded("small", small * 2.0 ** (lowest - bits), format)
        # Around the largest number, and where it is left, but for what becomes NaN.
        near = torch.tensor([0.9, 0.97, 1.0, 1.02]) * largest
        edge = torch.cat([near, torch.tensor(_BEYOND[format])])
        yield rounded("large", torch.cat([edge, -edge]), format)
        yield rounded("float64", draw.normal(6, dtype=torch.float64), format)

    def fit(scale: torch.Tensor, format: str, rows: int, columns: int, whole: bool) -> torch.Tensor:
        """A matrix whose scales are these, one per row or one for all, away from the middles of its numbers."""
        lowest, bits, largest = _FORMATS[format]
        sizes = largest * torch.exp2(-draw.uniform(rows, columns, low=0.1, high=6.0, dtype=torch.float64))
        exponent = torch.frexp(sizes).exponent - 1
        step = torch.exp2((exponent.clamp(min=lowest) - bits).double())
        sizes = ((sizes / step).floor() + draw.uniform(rows, columns, low=-0.4, high=0.4)) * step
        tops = draw.integers(0, columns, rows, 1)
        if not whole:
            sizes = sizes.scatter(1, tops, largest)
        else:
            sizes[draw.integer(0, rows), draw.integer(0, columns)] = largest
        return (sizes * signs(rows, columns) * scale).float()

    def quantised(name: str, x: torch.Tensor, format: str, per_row: bool, group: str) -> Case:
        return Case(name, "run_quantise", {"in_features": x, "format": format, "per_row": per_row}, group)

    def scale(*shape: int) -> torch.Tensor:
        return draw.uniform(*shape, low=0.02, high=3.0, dtype=torch.float64)

    def column(count: int) -> torch.Tensor:
        """Scales far from each other."""
        return scale(count, 1) * torch.exp2(2 * torch.arange(count).double())[:, None]

    for format in _FORMATS:
        yield quantised(format, fit(scale(), format, 3, 5, whole=True), format, False, "tensor")
        yield quantised(format, fit(column(3), format, 3, 5, whole=False), format, True, "rows")
    three = fit(column(4), "e4m3", 4, 5, whole=False).reshape(2, 2, 5)
    yield quantised("three_dimensions", three, "e4m3", True, "rows")
    for per_row in (False, True):
        zeros = torch.zeros(2, 3)
        zeros[1] = torch.tensor([0.0, 448.0, -3.5]) * per_row
        yield quantised("row" if per_row else "tensor", zeros, "e4m3", per_row, "zeros")

    def product(name: str, format: str, per_row: bool, n: int, k: int, m: int) -> Case:
        of_rows = scale(n, 1) * 4 if per_row else scale()
        of_columns = column(m) if per_row else scale()
        a = fit(of_rows, format, n, k, whole=not per_row)
        b = fit(of_columns, format, m, k, whole=not per_row).T.contiguous()
        given = {"a": a, "b": b, "format": format, "per_row": per_row}
        return Case(name, "run_small_matmul", given, "product_of_rows" if per_row else "product")

    for per_row in (False, True):
        yield product("e4m3", "e4m3", per_row, 3, 6, 2)
        yield product("e5m2", "e5m2", per_row, 2, 5, 3)
        yield product("e2m1", "e2m1", per_row, 2, 4, 2)
        yield product("square", "e4m3", per_row, 3, 3, 3)

    def after(name: str, adapter: str, **inputs: object) -> Case:
        return Case(name, "inputs_after", {"adapter": adapter, "inputs": inputs}, "untouched")

    yield after("round", "run_to_small_format", in_features=draw.normal(5), format="e5m2")
    yield after("quantise", "run_quantise", in_features=draw.normal(2, 5), format="e4m3", per_row=True)
    matrices = {"a": draw.normal(2, 3), "b": draw.normal(3, 2)}
    yield after("product", "run_small_matmul", **matrices, format="e4m3", per_row=True)
