"""Drivers for batch sampling: from arrays, from files larger than memory, and for devices that are not there."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..limits import memory_headroom

if TYPE_CHECKING:
    from ..bench import Bench


def batch(bench: Bench, dataset: np.ndarray, batch_size: int, context_length: int) -> Any:
    """Sample on the CPU; tensors come back as int64, since not every kind of integer can cross the wall."""
    return _widened(
        bench.adapter(
            "run_get_batch", dataset=dataset, batch_size=batch_size, context_length=context_length, device="cpu"
        )
    )


def _widened(found: Any) -> Any:
    if not isinstance(found, (tuple, list)):
        return found
    return [part.long() if isinstance(part, torch.Tensor) else part for part in found]


def batch_from_memory_map(
    bench: Bench, tokens: np.ndarray, padding: int, batch_size: int, context_length: int, headroom_mib: int
) -> Any:
    """Sample from a memory-mapped file of `tokens` and `padding` zeros, with `headroom_mib` MiB of memory to spare.

    The zeros are a hole in the file, so they take no disk space however many they are.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokens.bin")
        with path.open("wb") as file:
            file.write(tokens.tobytes())
            file.truncate((len(tokens) + padding) * tokens.itemsize)
        dataset = np.memmap(path, dtype=tokens.dtype, mode="r")
        with memory_headroom(headroom_mib):
            return batch(bench, dataset, batch_size, context_length)


def batch_error(bench: Bench, dataset: np.ndarray, device: str) -> str | None:
    """Ask for a batch on `device`: None when it comes, or the error, of the types that PyTorch raises."""
    try:
        bench.adapter("run_get_batch", dataset=dataset, batch_size=2, context_length=4, device=device)
    except (RuntimeError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"
    return None


DRIVERS = (batch, batch_from_memory_map, batch_error)
