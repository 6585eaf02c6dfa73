"""SiLU-gate, the elementwise part of SwiGLU, forward and backward (Shazeer 2020, arXiv:2002.05202, eq. 6).

    y = silu(a) b,  silu(a) = a σ(a)            da = dy b σ(a) (1 + a (1 - σ(a)))            db = dy silu(a)

With a = W1 x and b = W3 x of E elements of s bytes: forward moves 3Es bytes and backward 5Es, at about 5 and
10 FLOPs per element; the time is the bytes'. σ(a) is computed again in the backward pass, which is cheaper
than reading it.

The inputs may be the halves of one fused projection, so rows may lie apart; contiguous tensors are one long
row. A program takes 2,048 elements, 16 per thread: two to four 16-byte loads of each input under way in every
thread.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .rows import as_rows

BLOCK = 2_048
NUM_WARPS = 4


@triton.jit
def _forward(a_ptr, b_ptr, y_ptr, columns, a_stride, b_stride, BLOCK: tl.constexpr):
    tiles = tl.cdiv(columns, BLOCK)
    row = (tl.program_id(0) // tiles).to(tl.int64)
    column = (tl.program_id(0) % tiles).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = column < columns

    a = tl.load(a_ptr + row * a_stride + column, mask=inside).to(tl.float32)
    b = tl.load(b_ptr + row * b_stride + column, mask=inside).to(tl.float32)
    tl.store(y_ptr + row * columns + column, a * tl.sigmoid(a) * b, mask=inside)


@triton.jit
def _backward(a_ptr, b_ptr, dy_ptr, da_ptr, db_ptr, columns, a_stride, b_stride, dy_stride, BLOCK: tl.constexpr):
    tiles = tl.cdiv(columns, BLOCK)
    row = (tl.program_id(0) // tiles).to(tl.int64)
    column = (tl.program_id(0) % tiles).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = column < columns

    a = tl.load(a_ptr + row * a_stride + column, mask=inside).to(tl.float32)
    b = tl.load(b_ptr + row * b_stride + column, mask=inside).to(tl.float32)
    dy = tl.load(dy_ptr + row * dy_stride + column, mask=inside).to(tl.float32)
    sigmoid = tl.sigmoid(a)
    tl.store(da_ptr + row * columns + column, dy * b * sigmoid * (1.0 + a * (1.0 - sigmoid)), mask=inside)
    tl.store(db_ptr + row * columns + column, dy * a * sigmoid, mask=inside)


def _as_long_rows(*tensors: Tensor) -> list[Tensor]:
    """View equally shaped tensors as rows, or as a single row where all of them are contiguous."""
    if all(tensor.is_contiguous() for tensor in tensors):
        return [tensor.view(1, -1) for tensor in tensors]
    return [as_rows(tensor) for tensor in tensors]


class _SiLUGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        y = torch.empty(a.shape, dtype=a.dtype, device=a.device)
        a, b = _as_long_rows(a, b)
        count, columns = a.shape
        block = min(BLOCK, triton.next_power_of_2(columns))
        _forward[(count * triton.cdiv(columns, block),)](
            a, b, y, columns, a.stride(0), b.stride(0), block, num_warps=NUM_WARPS
        )
        return y

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        da, db = (torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in (a, b))
        a, b, dy = _as_long_rows(a, b, dy)
        count, columns = a.shape
        block = min(BLOCK, triton.next_power_of_2(columns))
        _backward[(count * triton.cdiv(columns, block),)](
            a, b, dy, da, db, columns, a.stride(0), b.stride(0), dy.stride(0), block, num_warps=NUM_WARPS
        )
        return da, db


def silu_gate(a: Tensor, b: Tensor) -> Tensor:
    """silu(a) · b, elementwise, differentiable in both.

    Args:
        a: [..., columns], the gate's pre-activation, in float32, bf16 or fp16.
        b: the value that is gated, of the same shape and dtype. Rows of both may lie apart, like the two
            halves of one tensor [..., 2 · columns]; layouts without adjacent columns are copied first.

    Returns:
        [..., columns], contiguous, in their dtype. All arithmetic is in float32.

    Raises:
        ValueError: shapes or dtypes of `a` and `b` differ.

    Moves 3 · numel · itemsize bytes forward and 5 · numel · itemsize backward.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(
            "silu_gate needs two tensors of one shape and dtype, "
            f"but got {tuple(a.shape)} in {a.dtype} and {tuple(b.shape)} in {b.dtype}."
        )
    return _SiLUGate.apply(a, b) if a.numel() else a * b
