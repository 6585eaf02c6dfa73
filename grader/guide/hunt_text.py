"""How `grader hunt` writes calls and outputs: so that a person sees at a glance where two of them differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..cases.hunt_table import Refusal

_ORDINARY = (torch.float32, torch.int64, torch.bool)
_LONG_RUN = 9
_MOST_CHARACTERS = 1200
_MOST_NUMBERS = 400


def call(operation: str, arguments: Mapping[str, Any]) -> str:
    """`run_softmax(in_features=[0, 1], dim=-1)`."""
    return bounded(f"{operation}({', '.join(f'{name}={value(given)}' for name, given in arguments.items())})")


def output(result: Any) -> str:
    """What a call gave, or that it raised."""
    return bounded(f"raises {result.text}" if isinstance(result, Refusal) else value(result))


def bounded(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} ... ({len(text):,} characters)"


def value(given: Any) -> str:
    """A value in few characters: numbers with four digits, runs and single bytes in words."""
    if isinstance(given, torch.Tensor):
        if given.numel() > _MOST_NUMBERS:
            return f"{str(given.dtype).removeprefix('torch.')}{list(given.shape)}"
        dtype = "" if given.dtype in _ORDINARY else f"{str(given.dtype).removeprefix('torch.')} "
        empty = f" of shape {list(given.shape)}" if not given.numel() else ""
        return f"{dtype}{_nested(given.tolist())}{empty}"
    if isinstance(given, np.ndarray):
        return f"{given.dtype}{list(given.shape)}"
    if isinstance(given, dict):
        return _mapping(given)
    if isinstance(given, (list, tuple)):
        return _sequence(given)
    return _scalar(given)


def _nested(given: Any) -> str:
    return f"[{', '.join(map(_nested, given))}]" if isinstance(given, list) else _scalar(given)


def _scalar(given: Any) -> str:
    if isinstance(given, float):
        return f"{given:.4g}"
    return repr(given)


def _mapping(given: Mapping[Any, Any]) -> str:
    """A vocabulary begins with 256 entries that say nothing."""
    bytes_first = all(given.get(i) == bytes([i]) for i in range(256))
    shown = {key: item for key, item in given.items() if not (bytes_first and type(key) is int and key < 256)}
    entries = [f"{key!r}: {'identity' if _is_identity(item) else value(item)}" for key, item in shown.items()]
    return f"{{{', '.join([*['0 to 255: the single bytes'] * bytes_first, *entries])}}}"


def _is_identity(given: Any) -> bool:
    """As most weights of a small model are, of which nobody wants to read each number."""
    is_square = isinstance(given, torch.Tensor) and given.ndim == 2 and given.shape[0] == given.shape[1] > 1
    return is_square and torch.equal(given, torch.eye(len(given), dtype=given.dtype))


def _sequence(given: Sequence[Any]) -> str:
    opening, closing = "()" if isinstance(given, tuple) else "[]"
    items = list(given)
    parts: list[str] = []
    single = {item for item in items if type(item) is bytes and len(item) == 1}
    if len(single) > _LONG_RUN:
        parts.append("all 256 single bytes" if len(single) == 256 else f"{len(single)} of the 256 single bytes")
        items = [item for item in items if not (type(item) is bytes and len(item) == 1)]
    is_long = len(items) > _LONG_RUN and all(type(item) is int for item in items)
    if is_long and items == list(range(items[0], items[-1] + 1)):
        return f"{opening}{items[0]} to {items[-1]}{closing}"
    parts += map(value, items)
    return f"{opening}{', '.join(parts)}{closing}"
