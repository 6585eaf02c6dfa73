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
        between = 2.0**bits * torch.tensor([0.575, 0.8])
        small = torch.cat([draw.uniform(8, low=0.1, high=1.5 * 2**bits), between]) * signs(10)
        yield rounded("small", small * 2.0 ** (lowest - bits), format)
        # Around the largest number, and where it is left, but for what becomes NaN.
        near = torch.tensor([0.9, 0.97, 1.0, 1.02]) * largest
        edge = torch.cat([near, torch.tensor(_BEYOND[format])])
        yield rounded("large", torch.cat([edge, -edge]), format)
        yield rounded("float64", draw.normal(6, dtype=torch.float64), format)

    def fit(scale: torch.Tensor, format: str, rows: int, columns: int) -> torch.Tensor:
        """A matrix with this scale, away from the middles of the format's numbers."""
        lowest, bits, largest = _FORMATS[format]
        sizes = largest * torch.exp2(-draw.uniform(rows, columns, low=0.1, high=6.0, dtype=torch.float64))
        exponent = torch.frexp(sizes).exponent - 1
        step = torch.exp2((exponent.clamp(min=lowest) - bits).double())
        sizes = ((sizes / step).floor() + draw.uniform(rows, columns, low=-0.4, high=0.4)) * step
        sizes[draw.integer(0, rows), draw.integer(0, columns)] = largest
        return (sizes * signs(rows, columns) * scale).float()

    def quantised(name: str, x: torch.Tensor, format: str, per_row: bool, group: str) -> Case:
        return Case(name, "run_quantise", {"in_features": x, "format": format, "per_row": per_row}, group)

    def exact(exponents: torch.Tensor, format: str, rows: int, columns: int, whole: bool) -> torch.Tensor:
        """Normal numbers of the format, times powers of two: however one rounds, these stay."""
        _, bits, largest = _FORMATS[format]
        fractions = 1 + draw.integers(0, 2**bits, rows, columns) / 2**bits
        sizes = fractions * torch.exp2(draw.integers(0, 2, rows, columns).float())
        if whole:
            sizes[draw.integer(0, rows), draw.integer(0, columns)] = largest
        else:
            sizes = sizes.scatter(1, draw.integers(0, columns, rows, 1), largest)
        return sizes * signs(rows, columns) * torch.exp2(exponents.float())

    def powers(*shape: int) -> torch.Tensor:
        """Exponents of scales, of which no two in a column are the same."""
        first = draw.integers(-6, -2, 1)
        return first + 2 * torch.arange(shape[0])[:, None] if shape else first

    def scale() -> torch.Tensor:
        """One that is far from any power of two."""
        return 1.4 * torch.exp2(draw.uniform(low=-4.2, high=-3.8, dtype=torch.float64))

    yield quantised("e5m2", fit(scale(), "e5m2", 3, 5), "e5m2", False, "tensor")
    yield quantised("e2m1", exact(powers(), "e2m1", 3, 4, whole=True), "e2m1", False, "tensor")
    yield quantised("e4m3", exact(powers(3), "e4m3", 3, 5, whole=False), "e4m3", True, "rows")
    three = exact(powers(4), "e4m3", 4, 5, whole=False).reshape(2, 2, 5)
    yield quantised("three_dimensions", three, "e4m3", True, "rows")
    yield quantised("tensor", torch.zeros(2, 3), "e5m2", False, "zeros")
    yield quantised("row", torch.tensor([[0.0, 0.0, 0.0], [0.0, 3.5, -1.75]]), "e5m2", True, "zeros")

    def product(name: str, a: torch.Tensor, b: torch.Tensor, format: str, per_row: bool) -> Case:
        given = {"a": a, "b": b.T.contiguous(), "format": format, "per_row": per_row}
        return Case(name, "run_small_matmul", given, "product_of_rows" if per_row else "product")

    def fitted(rows: int, columns: int) -> torch.Tensor:
        return fit(scale(), "e5m2", rows, columns)

    yield product("e5m2", fitted(2, 5), fitted(3, 5), "e5m2", False)
    yield product("square", fitted(3, 3), fitted(3, 3), "e5m2", False)
    for format, n, k, m in (("e5m2", 3, 5, 2), ("e2m1", 2, 4, 3), ("e5m2", 3, 3, 3)):
        left, right = (exact(powers(rows), format, rows, k, whole=False) for rows in (n, m))
        yield product("square" if n == m else format, left, right, format, True)

    def after(name: str, adapter: str, **inputs: object) -> Case:
        return Case(name, "inputs_after", {"adapter": adapter, "inputs": inputs}, "untouched")

    yield after("round", "run_to_small_format", in_features=draw.normal(5), format="e5m2")
    yield after("quantise", "run_quantise", in_features=draw.normal(2, 5), format="e4m3", per_row=True)
    matrices = {"a": draw.normal(2, 3), "b": draw.normal(3, 2)}
    yield after("product", "run_small_matmul", **matrices, format="e4m3", per_row=True)
