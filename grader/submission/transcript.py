"""What does not depend on chance in an output that is drawn at random: the same for every generator and seed.

Two correct samplers draw different batches, and two with the same bug do, too. Their transcripts are comparable only
in what the bug does to any batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..worker.operation_table import OPERATIONS, Kept

TIMED = object()
"""What a transcript holds for calls that were timed: what they gave is for other tests to judge."""

_ENOUGH = 20
"""So many draws per place of the dataset leave no start out."""


def kept_of(operation: str, answer: Any) -> Any:
    """What a transcript keeps of an operation's answer."""
    return drawn_windows(answer) if OPERATIONS[operation].kept is Kept.WITHOUT_CHANCE else answer


def drawn_windows(result: Any) -> Any:
    """The lasting part of what the driver `batches` gives; the whole of it where it has another form."""
    try:
        dataset, dtypes, batches = result["dataset"], result["dtypes"], result["batches"]
        pairs = [(_places(x, dataset), _places(y, dataset)) for x, y in batches]
    except (TypeError, ValueError, KeyError):
        return result
    first = [x[:, 0] for x, _ in pairs]
    starts = np.concatenate(first)
    repeated = all(np.array_equal(one, first[0]) for one in first[1:])
    every_start = len(starts) >= _ENOUGH * len(dataset) and not repeated
    return {
        "dtypes": dtypes,
        "shapes": [[list(x.shape), list(y.shape)] for x, y in pairs],
        "steps in x": _distinct(np.diff(x, axis=1) for x, _ in pairs),
        "steps from x to y": _distinct(y - x for x, y in pairs if x.shape == y.shape),
        "starts": _distinct([starts]) if every_start else None,
        "rows are the same": [len(set(one.tolist())) == 1 for one in first],
        "rows follow each other": [len(set(np.diff(one).tolist())) == 1 for one in first],
        "calls are the same": repeated,
        "dataset": dataset,
    }


def _places(part: torch.Tensor, dataset: np.ndarray) -> np.ndarray:
    """Where in a dataset without repetitions the tokens of a matrix come from; -1 where they do not."""
    if part.ndim != 2 or not part.numel() or part.is_floating_point():
        raise ValueError("not a matrix of tokens")
    order = np.argsort(dataset)
    at = np.searchsorted(dataset, part.numpy(), sorter=order).clip(max=len(dataset) - 1)
    return np.where(dataset[order[at]] == part.numpy(), order[at], -1)


def _distinct(parts: Any) -> list[int]:
    found: set[int] = set()
    for part in parts:
        found |= set(np.asarray(part).reshape(-1).tolist())
    return sorted(found)
