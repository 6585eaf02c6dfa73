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

from .rows import RowTile, as_rows, begin_alike, row_tile, vector_length
from .wide_rows import LOG2_E, as_aligned, choose_sweep, load_step, maximum_and_sum, store_step, whole_steps

WIDEST_TILE = 32_768  # columns that one program keeps in registers


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
def _normalise(x_ptr, y_ptr, at, inside, largest, reciprocal, MASKED: tl.constexpr):
    """Write one step of a row's probabilities."""
    y = tl.exp2((load_step(x_ptr, at, inside, MASKED, True) - largest) * LOG2_E) * reciprocal
    store_step(y_ptr, at, y, inside, MASKED)


@triton.jit
def _forward_wide(
    x_ptr, y_ptr, columns, x_stride, VECTOR: tl.constexpr, ALIKE: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    begin = row * x_stride
    largest, total = maximum_and_sum(x_ptr, begin, columns, VECTOR, BLOCK)
    reciprocal = 1.0 / total

    first, before, whole, after = whole_steps(begin, columns, VECTOR, BLOCK)
    x_ptr += first
    y_ptr += as_aligned(row * columns, before, VECTOR, ALIKE)
    lane = tl.arange(0, BLOCK)
    if after:
        _normalise(x_ptr, y_ptr, whole + lane, lane < after, largest, reciprocal, True)
    for back in tl.range(BLOCK, whole + BLOCK, BLOCK):
        _normalise(x_ptr, y_ptr, whole - back + lane, lane < BLOCK, largest, reciprocal, False)
    if before:
        _normalise(x_ptr, y_ptr, lane - BLOCK, lane >= BLOCK - before, largest, reciprocal, True)


@triton.jit
def _multiply(y_ptr, dy_ptr, at, inside, MASKED: tl.constexpr):
    """One step of y ∘ dy."""
    return load_step(y_ptr, at, inside, MASKED, False) * load_step(dy_ptr, at, inside, MASKED, False)


@triton.jit
def _differentiate(y_ptr, dy_ptr, dx_ptr, at, inside, row_product, MASKED: tl.constexpr):
    """Write one step of a row's gradient."""
    y, dy = load_step(y_ptr, at, inside, MASKED, True), load_step(dy_ptr, at, inside, MASKED, True)
    store_step(dx_ptr, at, y * (dy - row_product), inside, MASKED)


@triton.jit
def _backward_wide(
    y_ptr, dy_ptr, dx_ptr, columns, dy_stride, VECTOR: tl.constexpr, ALIKE: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    first, before, whole, after = whole_steps(row * columns, columns, VECTOR, BLOCK)
    y_ptr += first
    dx_ptr += first
    dy_ptr += as_aligned(row * dy_stride, before, VECTOR, ALIKE)
    lane = tl.arange(0, BLOCK)
    head, tail = lane >= BLOCK - before, lane < after

    product = tl.zeros([BLOCK], tl.float32)
    if before:
        product += _multiply(y_ptr, dy_ptr, lane - BLOCK, head, True)
    for start in tl.range(0, whole, BLOCK, loop_unroll_factor=2):
        product += _multiply(y_ptr, dy_ptr, start + lane, tail, False)
    if after:
        product += _multiply(y_ptr, dy_ptr, whole + lane, tail, True)
    row_product = tl.sum(product, axis=0)

    if after:
        _differentiate(y_ptr, dy_ptr, dx_ptr, whole + lane, tail, row_product, True)
    for back in tl.range(BLOCK, whole + BLOCK, BLOCK):
        _differentiate(y_ptr, dy_ptr, dx_ptr, whole - back + lane, tail, row_product, False)
    if before:
        _differentiate(y_ptr, dy_ptr, dx_ptr, lane - BLOCK, head, row_product, True)


def tile_backward(columns: int) -> RowTile:
    """Of the widest tile each thread takes more: with 32 elements of y and dy in 64 registers it has none for loads."""
    return row_tile(columns, 64) if columns > WIDEST_TILE // 2 else row_tile(columns)


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
            sweep = choose_sweep(columns * rows.element_size(), comes_back=True)
            _forward_wide[(count,)](
                rows, y, columns, rows.stride(0), vector_length(rows), begin_alike(rows, y), sweep.step,
                num_warps=sweep.num_warps,
            )  # fmt: skip
        ctx.save_for_backward(y)
        return y.view(x.shape)

    @staticmethod
    def backward(ctx, dy: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        rows = as_rows(dy)
        dx = torch.empty_like(y)
        count, columns = y.shape
        if columns <= WIDEST_TILE:
            tile = tile_backward(columns)
            _backward[(triton.cdiv(count, tile.rows),)](
                y, rows, dx, count, columns, rows.stride(0), tile.rows, tile.columns, num_warps=tile.num_warps
            )
        else:
            sweep = choose_sweep(columns * y.element_size(), comes_back=True)
            _backward_wide[(count,)](
                y, rows, dx, columns, rows.stride(0), vector_length(y), begin_alike(y, rows), sweep.step,
                num_warps=sweep.num_warps,
            )  # fmt: skip
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
