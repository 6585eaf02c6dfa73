"""Drivers for batch sampling: from arrays, from files larger than memory, and for devices that are not there."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..limits import memory_headroom

if TYPE_CHECKING:
    from ..operations import Operations


def batches(
    operations: Operations, dataset: np.ndarray, batch_size: int, context_length: int, calls: int = 1, seed: int = 0
) -> dict[str, Any]:
    """Sample several times, on the CPU, after seeding every generator that a sampler may use.

    Returns:
        batches: what each call returned; tensors come as int64, since not all kinds of integers can cross the wall.
        dtypes: those that they had; dataset: as it is after the last call.
    """
    _seed(seed)
    copies = [dataset.copy() for _ in range(calls)]  # one for each call, so that changing it shows in nothing else
    found = [_sample(operations, copy, batch_size, context_length) for copy in copies]
    parts = {"batches": [_widened(one) for one in found], "dtypes": [_dtypes(one) for one in found]}
    return parts | {"dataset": copies[-1]}


def batch_from_memory_map(
    operations: Operations, tokens: np.ndarray, padding: int, batch_size: int, context_length: int, headroom_mib: int
) -> Any:
    """Sample from a memory-mapped file of `tokens` and `padding` zeros, with `headroom_mib` MiB of memory to spare.

    The zeros are a hole in the file, so they take no disk space however many they are.
    """
    _seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokens.bin")
        with path.open("wb") as file:
            file.write(tokens.tobytes())
            file.truncate((len(tokens) + padding) * tokens.itemsize)
        dataset = np.memmap(path, dtype=tokens.dtype, mode="r")
        with memory_headroom(headroom_mib):
            return _widened(_sample(operations, dataset, batch_size, context_length))


def batch_is_refused(operations: Operations, dataset: np.ndarray, device: str) -> bool:
    """Whether a batch on `device` raises an error of the types that PyTorch raises for one that is not there."""
    try:
        _sample(operations, dataset, 2, 4, device)
    except NotImplementedError:  # a RuntimeError, too, but the one of an unwritten stub
        raise
    except (RuntimeError, AssertionError):
        return True
    return False


def batch_devices(operations: Operations, dataset: np.ndarray, device: str) -> list[str] | None:
    """The devices on which x and y of a batch for `device` are; None when sampling for it raised anything."""
    try:
        batch = _sample(operations, dataset, 2, 4, device)
    except Exception:  # whatever a device without values, such as "meta", cannot do; stubs were met before
        return None
    return [str(part.device) for part in batch if isinstance(part, torch.Tensor)]


def after_a_batch(operations: Operations, dataset: np.ndarray, seed: int) -> dict[str, float]:
    """Seed every generator that there is, sample, and give {generator: the next number that it draws}."""
    _seed(seed)
    _sample(operations, dataset, 8, 16)
    return {"torch": float(torch.rand(())), "numpy": float(np.random.random()), "random": random.random()}


def _sample(
    operations: Operations, dataset: np.ndarray, batch_size: int, context_length: int, device: str = "cpu"
) -> Any:
    return operations.adapter(
        "run_get_batch", dataset=dataset, batch_size=batch_size, context_length=context_length, device=device
    )


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _widened(batch: Any) -> Any:
    if not isinstance(batch, (tuple, list)):
        return batch
    return [part.long() if isinstance(part, torch.Tensor) else part for part in batch]


def _dtypes(batch: Any) -> list[str]:
    parts = batch if isinstance(batch, (tuple, list)) else [batch]
    return [str(getattr(part, "dtype", type(part).__name__)) for part in parts]


DRIVERS = (batches, batch_from_memory_map, batch_is_refused, batch_devices, after_a_batch)
