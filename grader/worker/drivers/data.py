"""Driver for batch sampling from a dataset that does not fit into memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..limits import memory_headroom

if TYPE_CHECKING:
    from ..bench import Bench


def get_batch_memory_mapped(
    bench: Bench, elements: int, batch_size: int, context_length: int, headroom_mib: int
) -> Any:
    """Sample from a memory-mapped uint16 file of `elements` ids, with `headroom_mib` MiB of memory to spare.

    The file is sparse (all zeros), so it takes no disk space however long it is.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokens.bin")
        with path.open("wb") as file:
            file.truncate(2 * elements)
        dataset = np.memmap(path, dtype=np.uint16, mode="r")
        with memory_headroom(headroom_mib):
            return bench.adapter(
                "run_get_batch",
                dataset=dataset,
                batch_size=batch_size,
                context_length=context_length,
                device="cpu",
            )


DRIVERS = (get_batch_memory_mapped,)
