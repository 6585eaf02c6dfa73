"""Softmax over the last dimension, forward and backward.

    y_j = exp(x_j - max x) / sum_k exp(x_k - max x)            dx_j = y_j (dy_j - sum_k y_k dy_k)

M rows of N columns of s bytes: forward moves 2MNs bytes, backward 3MNs, at about 5 FLOPs per element; the
time is the bytes'. A row of up to 32,768 columns stays in registers (32 float32 values in each of 1,024
threads). A wider row is read twice: a first sweep keeps a running maximum and a sum that is rescaled whenever
the maximum grows (Milakov & Gimelshein 2018, arXiv:1805.02867), and a second one, from the end back to the
start, finds what the first read last still in the L2 cache.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .online_maximum import LOG2_E, maximum_and_sum
from .rows import MOST_WARPS, as_rows, row_tile, vector_length

WIDEST_TILE = 32_768  # columns that one program keeps in registers
SWEEP = 16_384  # columns per step over a wider row: 16 elements in each of 1,024 threads


@triton.jit
def _forward(x_ptr, y_ptr, rows, columns, x_stride, BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)[:, None]
    column = tl.arange(0, BLOCK_COLUMNS)[None, :]
    inside = (row < rows) & (column < columns)

    x = tl.load(x_ptr + row * x_stride + column, mask=inside, other=float("-inf")).to(tl.float32)
    numerator = tl.exp2((x - tl.max(x, axis=1, keep_dims=True)) * LOG2_E)
    y = numerator * (1.0 / tl.sum(numerator, axis=1, keep_dims=True))
    tl.store(y_ptr + row * columns + column, y, mask=inside)


@triton.jit
def _backward(y_ptr, dy_ptr, dx_ptr, rows, columns, dy_stride, BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)[:, None]
    column = tl.arange(0, BLOCK_COLUMNS)[None, :]
    inside = (row < rows) & (column < columns)

    y = tl.load(y_ptr + row * columns + column, mask=inside, other=0.0).to(tl.float32)
    dy = tl.load(dy_ptr + row * dy_stride + column, mask=inside, other=0.0).to(tl.float32)
    dx = y * (dy - tl.sum(y * dy, axis=1, keep_dims=True))
    tl.store(dx_ptr + row * columns + column, dx, mask=inside)


@triton.jit
def _forward_wide(x_ptr, y_ptr, columns, x_stride, VECTOR: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    x_ptr += row * x_stride
    y_ptr += row * columns
    lane = tl.arange(0, BLOCK)

    largest, total = maximum_and_sum(x_ptr, columns, VECTOR, BLOCK)
    reciprocal = 1.0 / total

    for back in tl.range(0, columns, BLOCK):
        column = (columns - 1) // BLOCK * BLOCK - back + lane
        x = tl.load(x_ptr + column, mask=column < columns, other=0.0).to(tl.float32)
        tl.store(y_ptr + column, tl.exp2((x - largest) * LOG2_E) * reciprocal, mask=column < columns)


@triton.jit
def _backward_wide(y_ptr, dy_ptr, dx_ptr, columns, dy_stride, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    y_ptr += row * columns
    dy_ptr += row * dy_stride
    dx_ptr += row * columns
    lane = tl.arange(0, BLOCK)

    product = tl.zeros([BLOCK], tl.float32)
    for start in tl.range(0, columns, BLOCK, loop_unroll_factor=2):
        inside = start + lane < columns
        y = tl.load(y_ptr + start + lane, mask=inside, other=0.0).to(tl.float32)
        dy = tl.load(dy_ptr + start + lane, mask=inside, other=0.0).to(tl.float32)
        product += y * dy
    row_product = tl.sum(product, axis=0)

    for back in tl.range(0, columns, BLOCK):
        column = (columns - 1) // BLOCK * BLOCK - back + lane
        inside = column < columns
        y = tl.load(y_ptr + column, mask=inside, other=0.0).to(tl.float32)
        dy = tl.load(dy_ptr + column, mask=inside, other=0.0).to(tl.float32)
        tl.store(dx_ptr + column, y * (dy - row_product), mask=inside)


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        rows = as_rows(x)
        y = torch.empty_like(rows, memory_format=torch.contiguous_format)
        count, columns = rows.shape
        if columns <= WIDEST_TILE:
            tile = row_tile(columns)
            _forward[(triton.cdiv(count, tile.rows),)](
                rows, y, count, columns, rows.stride(0), tile.rows, tile.columns, num_warps=tile.num_warps
            )
        else:
            _forward_wide[(count,)](rows, y, columns, rows.stride(0), vector_length(rows), SWEEP, num_warps=MOST_WARPS)
        ctx.save_for_backward(y)
        return y.view(x.shape)

    @staticmethod
    def backward(ctx, dy: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        rows = as_rows(dy)
        dx = torch.empty_like(y)
        count, columns = y.shape
        if columns <= WIDEST_TILE:
            tile = row_tile(columns)
            _backward[(triton.cdiv(count, tile.rows),)](
                y, rows, dx, count, columns, rows.stride(0), tile.rows, tile.columns, num_warps=tile.num_warps
            )
        else:
            _backward_wide[(count,)](y, rows, dx, columns, rows.stride(0), SWEEP, num_warps=MOST_WARPS)
        return dx.view(dy.shape)


def softmax(x: Tensor) -> Tensor:
    """Softmax over the last dimension: positive, each row summing to one, differentiable.

    Args:
        x: [..., columns] in float32, bf16 or fp16, of any size and any strides; rows with adjacent columns
            are read where they lie, other layouts are copied first. -inf entries get probability 0.

    Returns:
        [..., columns], contiguous, in x's dtype. All arithmetic is in float32.

    Moves 2 · numel · itemsize bytes forward and 3 · numel · itemsize backward.
    """
    return _Softmax.apply(x) if x.numel() else torch.empty_like(x)
