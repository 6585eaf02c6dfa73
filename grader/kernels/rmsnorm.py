"""RMSNorm over the last dimension, forward and backward (Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4).

    r = 1 / sqrt(mean_j x_j² + eps)         y_j = x_j r g_j
    dx_j = r (dy_j g_j - x_j r · mean_k(dy_k g_k x_k r))         dg_j = sum over rows of dy_j x_j r

M rows of N columns of s bytes: forward moves 2MNs bytes, backward 3MNs, at about 4 and 10 FLOPs per element;
the time is the bytes'. The float32 r of each row (4M bytes) is kept for the backward pass.

The gain's gradient sums over rows. A program for each row would need an atomic addition per element; instead
a fixed grid, a few programs per multiprocessor, walks over all rows, and each program adds up its share in
registers. The shares cost 4N bytes per program, written and read once: 2 to 4 % of 3MNs at 8,192 rows in
bf16. While a program works on one tile, copies of its next ones into shared memory are under way
(`num_stages`), which keeps the memory busy though the grid is small. The result does not depend on the order
in which programs run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .rows import THREADS_PER_WARP, RowTile, as_rows, grid_limits, row_tile

WIDEST = 32_768  # columns that one program keeps in registers
THREADS_PER_MULTIPROCESSOR = 512  # of the backward grid: leaves 128 registers for each thread
MOST_STAGES = 4


@triton.jit
def _forward(
    x_ptr, gain_ptr, y_ptr, r_ptr, rows, columns, x_stride, eps,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)[:, None]
    column = tl.arange(0, BLOCK_COLUMNS)[None, :]
    inside = (row < rows) & (column < columns)

    x = tl.load(x_ptr + row * x_stride + column, mask=inside, other=0.0).to(tl.float32)
    gain = tl.load(gain_ptr + column, mask=column < columns, other=0.0).to(tl.float32)
    r = tl.rsqrt(tl.sum(x * x, axis=1, keep_dims=True) / columns + eps)
    tl.store(y_ptr + row * columns + column, x * r * gain, mask=inside)
    tl.store(r_ptr + row, r, mask=row < rows)


@triton.jit
def _backward(
    x_ptr, gain_ptr, r_ptr, dy_ptr, dx_ptr, dgain_ptr, rows, columns, x_stride, dy_stride,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    column = tl.arange(0, BLOCK_COLUMNS)[None, :]
    gain = tl.load(gain_ptr + column, mask=column < columns, other=0.0)
    dgain = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], tl.float32)

    for tile in tl.range(tl.program_id(0), tl.cdiv(rows, BLOCK_ROWS), tl.num_programs(0), num_stages=STAGES):
        row = (tile * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)).to(tl.int64)[:, None]
        inside = (row < rows) & (column < columns)
        x = tl.load(x_ptr + row * x_stride + column, mask=inside, other=0.0).to(tl.float32)
        dy = tl.load(dy_ptr + row * dy_stride + column, mask=inside, other=0.0).to(tl.float32)
        r = tl.load(r_ptr + row, mask=row < rows, other=0.0)

        normed = x * r
        dgain += dy * normed
        scaled = dy * gain.to(tl.float32)
        projection = tl.sum(scaled * normed, axis=1, keep_dims=True) / columns
        tl.store(dx_ptr + row * columns + column, r * (scaled - normed * projection), mask=inside)

    share = dgain_ptr + tl.program_id(0).to(tl.int64) * columns + tl.arange(0, BLOCK_COLUMNS)
    tl.store(share, tl.sum(dgain, axis=0), mask=tl.arange(0, BLOCK_COLUMNS) < columns)


def _backward_grid(x: Tensor, dy: Tensor, tile: RowTile) -> tuple[int, int]:
    """Choose the number of programs, and of pipeline stages: all but one hold a tile in shared memory."""
    limits = grid_limits(x.device)
    per_multiprocessor = max(1, THREADS_PER_MULTIPROCESSOR // (THREADS_PER_WARP * tile.num_warps))
    programs = min(per_multiprocessor * limits.multiprocessors, triton.cdiv(x.shape[0], tile.rows))
    tile_bytes = tile.rows * tile.columns * (x.element_size() + dy.element_size())
    stages = 1 + limits.shared_bytes // 2 // (per_multiprocessor * tile_bytes)
    return programs, min(stages, MOST_STAGES)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, gain: Tensor, eps: float) -> Tensor:
        x_rows = as_rows(x)
        count, columns = x_rows.shape
        y = torch.empty((count, columns), dtype=x.dtype, device=x.device)
        r = torch.empty(count, dtype=torch.float32, device=x.device)
        tile = row_tile(columns)
        _forward[(triton.cdiv(count, tile.rows),)](
            x_rows, gain, y, r, count, columns, x_rows.stride(0), eps,
            tile.rows, tile.columns, num_warps=tile.num_warps,
        )  # fmt: skip
        ctx.save_for_backward(x_rows, gain, r)
        return y.view(x.shape)

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gain, r = ctx.saved_tensors
        dy_rows = as_rows(dy)
        count, columns = x.shape
        tile = row_tile(columns)
        programs, stages = _backward_grid(x, dy_rows, tile)
        dx = torch.empty((count, columns), dtype=x.dtype, device=x.device)
        shares = torch.empty((programs, columns), dtype=torch.float32, device=x.device)
        _backward[(programs,)](
            x, gain, r, dy_rows, dx, shares, count, columns, x.stride(0), dy_rows.stride(0),
            tile.rows, tile.columns, stages, num_warps=tile.num_warps,
        )  # fmt: skip
        return dx.view(dy.shape), shares.sum(dim=0).to(gain.dtype), None


def rmsnorm(x: Tensor, gain: Tensor, eps: float = 1e-5) -> Tensor:
    """Root-mean-square norm of the last dimension, x / sqrt(mean(x²) + eps) · gain; differentiable in both.

    Args:
        x: [..., columns] in float32, bf16 or fp16, of at most 32,768 columns; rows with adjacent columns are
            read where they lie, other layouts are copied first.
        gain: [columns], contiguous, in any of these types.
        eps: added to the mean square before the root.

    Returns:
        [..., columns], contiguous, in x's dtype. All arithmetic is in float32, so that fp16 squares do not
        overflow.

    Raises:
        ValueError: `x` has more columns than a program can hold, or `gain` does not have one value for each.

    Moves 2 · numel · itemsize bytes forward and 3 · numel · itemsize backward.
    """
    columns = x.shape[-1]
    if columns > WIDEST:
        raise ValueError(f"rmsnorm holds a row in registers, so it takes at most {WIDEST:,} columns, not {columns:,}.")
    if gain.shape != (columns,):
        raise ValueError(f"rmsnorm needs one gain for each of {columns} columns, but got shape {tuple(gain.shape)}.")
    return _RMSNorm.apply(x, gain.contiguous(), eps) if x.numel() else x * gain.to(x.dtype)
