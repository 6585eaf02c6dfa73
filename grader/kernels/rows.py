"""What the row-wise kernels share: a tensor seen as rows, and the tile of rows that one program takes.

A row-wise kernel reads each row once and keeps it in registers between its reduction and its output. On a GPU
whose memory delivers 3 to 4 TB/s after some 700 ns, each of its 132 multiprocessors must have about 20 kB of
loads in flight at any time (Little's law). The tile is chosen for that: 16 elements per thread are two
16-byte loads in bf16 and four in float32, and registers then still allow 1,024 threads or more per
multiprocessor.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

THREADS_PER_WARP = 32
VECTOR_BYTES = 16  # the widest access of a thread
ELEMENTS_PER_THREAD = 16
LEAST_WARPS = 4
MOST_WARPS = 32  # 1,024 threads, the most that a program may have


class RowTile(NamedTuple):
    """The rows and columns (powers of two) that one program holds, and the warps that share them."""

    rows: int
    columns: int
    num_warps: int


def as_rows(x: Tensor) -> Tensor:
    """View `x` as [rows, last dimension] with adjacent columns; copy only where no such view exists."""
    rows = x.reshape(x.numel() // max(x.shape[-1], 1), x.shape[-1])
    return rows if rows.stride(1) == 1 or rows.shape[1] <= 1 else rows.contiguous()


def vector_length(rows: Tensor) -> int:
    """Count the elements that a thread loads at once: 16 bytes, or one element where the tensor begins elsewhere."""
    return VECTOR_BYTES // rows.element_size() if rows.data_ptr() % VECTOR_BYTES == 0 else 1


def begin_alike(a: Tensor, b: Tensor) -> bool:
    """Whether each row of `a` begins as far from a multiple of 16 bytes as that of `b`, tensors of one dtype."""
    return all(
        (mine - theirs) * a.element_size() % VECTOR_BYTES == 0
        for mine, theirs in ((a.stride(0), b.stride(0)), (a.data_ptr(), b.data_ptr()))
    )


def row_tile(columns: int, elements_per_thread: int = ELEMENTS_PER_THREAD) -> RowTile:
    """Choose a tile of whole rows: one long row, or as many short ones as keep the fewest warps busy."""
    block_columns = triton.next_power_of_2(columns)
    per_warp = THREADS_PER_WARP * elements_per_thread
    block_rows = max(1, LEAST_WARPS * per_warp // block_columns)
    num_warps = min(MOST_WARPS, block_rows * block_columns // per_warp)
    return RowTile(block_rows, block_columns, num_warps)


class GridLimits(NamedTuple):
    """What a persistent grid and its pipelines are sized by: multiprocessors, shared memory in each."""

    multiprocessors: int
    shared_bytes: int


def grid_limits(device: torch.device) -> GridLimits:
    """Ask the device; where kernels are interpreted, pretend to have four."""
    if device.type != "cuda":
        return GridLimits(multiprocessors=4, shared_bytes=64 * 1024)
    properties = torch.cuda.get_device_properties(device)
    return GridLimits(properties.multi_processor_count, properties.shared_memory_per_multiprocessor)
