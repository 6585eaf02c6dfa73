"""Simple relations between a wrong output and the expected one, for when no known bug explains it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

_CLOSE = 1e-4


def relations(expected: Any, actual: Any) -> list[str]:
    """What holds between two tensors of one shape, as sentences; empty when nothing simple does."""
    if not isinstance(expected, torch.Tensor) or not isinstance(actual, torch.Tensor):
        return []
    if not expected.is_floating_point() or not actual.is_floating_point() or not expected.numel():
        return []
    if expected.shape != actual.shape:
        return list(_of_other_shape(expected.double(), actual.double()))
    return list(_of_same_shape(expected.double(), actual.double()))


def _of_other_shape(expected: torch.Tensor, actual: torch.Tensor) -> Iterator[str]:
    if expected.numel() == actual.numel() and close(expected.reshape(-1), actual.reshape(-1)):
        yield "The values are right, in a different shape."
    elif expected.ndim == actual.ndim and expected.ndim >= 2 and close(expected.transpose(-1, -2), actual):
        yield "The values are right with the last two dimensions swapped."


def _of_same_shape(expected: torch.Tensor, actual: torch.Tensor) -> Iterator[str]:
    if not torch.isfinite(actual).all() or close(expected, actual):  # then only digits are missing
        return
    if not actual.any():
        yield "Every value is zero."
        return
    if close(expected, -actual):
        yield "The sign of every value is flipped."
        return
    factor = float((expected * actual).sum() / (expected * expected).sum()) if expected.any() else 0.0
    if expected.numel() == 1 and not _is_whole(factor):
        return  # any two numbers have a ratio and a difference
    if factor and close(expected * factor, actual):
        yield f"Every value is {factor:.4g} times what was expected."
        return
    offset = float((actual - expected).mean())
    if close(expected + offset, actual):
        yield f"Every value is off by the same amount, {offset:.4g}."
        return
    if close(expected.reshape(-1).sort().values, actual.reshape(-1).sort().values):
        yield "The right values are there, in other places."
        return
    for dimension, name in _dimensions(expected):
        right = [
            i
            for i in range(expected.shape[dimension])
            if close(expected.select(dimension, i), actual.select(dimension, i))
        ]
        if right and len(right) < expected.shape[dimension]:
            where = f"Along the {name} dimension (of size {expected.shape[dimension]})"
            yield (
                f"{where}, only index {right[0]} is right."
                if len(right) == 1
                else (f"{where}, only indices {_span(right)} are right.")
            )
            return


def _is_whole(factor: float) -> bool:
    """Whether it is a whole number or one part in so many, as where something is added up instead of averaged."""
    largest = max(abs(factor), 1 / abs(factor)) if factor else 0.0
    return largest >= 1.5 and abs(largest - round(largest)) <= _CLOSE * largest


def _dimensions(tensor: torch.Tensor) -> Iterator[tuple[int, str]]:
    ordinals = ("first", "second", "third", "fourth", "fifth")
    for i in range(min(tensor.ndim, len(ordinals))):
        if tensor.shape[i] > 1:
            yield i, "last" if i == tensor.ndim - 1 else ordinals[i]


def _span(indices: list[int]) -> str:
    if len(indices) == indices[-1] - indices[0] + 1 > 1:
        return f"{indices[0]} to {indices[-1]}"
    return ", ".join(map(str, indices[:8])) + (", ..." if len(indices) > 8 else "")


def close(expected: torch.Tensor, actual: torch.Tensor) -> bool:
    """Whether two tensors are of one shape, finite, and the same up to a ten-thousandth of the largest value."""
    if expected.shape != actual.shape or not torch.isfinite(actual).all() or not torch.isfinite(expected).all():
        return False
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    return bool(((expected.double() - actual.double()).abs() <= _CLOSE * scale).all())
