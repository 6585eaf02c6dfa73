"""Cross-entropy of logits and its gradient, without probabilities in memory.

    loss = mean over rows of (log sum_k exp x_k - x_target)
    dx_j = (softmax(x)_j - [j = target]) / rows

M rows of V logits of s bytes: the loss alone moves MVs bytes, loss and gradient 2MVs, at about 8 FLOPs per
logit; the time is the bytes'. As the loss is a scalar, its gradient is known up to a factor while the logits
are still at hand, so the forward pass writes it, over the logits if the caller allows, and the backward pass
has nothing left to read (Hsu et al. 2024, arXiv:2410.10989, section 3.2). That factor is 1 unless the loss is
scaled.

A program takes one row. Up to 8,192 logits are read once, into the registers of up to 512 threads. A wider
row is read from memory once too: the first sweep keeps a running maximum and a sum that is rescaled whenever
it grows (Milakov & Gimelshein 2018, arXiv:1805.02867), and the second runs from the row's end back to its
start, over what the first has left in the caches (132 rows of 131,072 bf16 logits are 35 MB).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .rows import as_rows, begin_alike, grid_limits, row_tile, vector_length
from .wide_rows import LOG2_E, as_aligned, choose_sweep, load_step, maximum_and_sum, store_step, whole_steps

WIDEST_TILE = 8_192  # logits that one program keeps in registers
SCALE_BLOCK = 2_048  # elements per step when a gradient is scaled: 16 in each of 128 threads


@triton.jit
def _tile(
    x_ptr, target_ptr, loss_ptr, dx_ptr, columns, x_stride, dx_stride, dloss,
    WITH_GRADIENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Loss and gradient of a row that stays in registers."""
    row = tl.program_id(0).to(tl.int64)
    x_ptr += row * x_stride
    lane = tl.arange(0, BLOCK)
    target = tl.load(target_ptr + row).to(tl.int32)
    target_logit = tl.load(x_ptr + target).to(tl.float32)  # before the gradient may overwrite it

    x = tl.load(x_ptr + lane, mask=lane < columns, other=float("-inf")).to(tl.float32)
    largest = tl.max(x, axis=0)
    numerator = tl.exp2((x - largest) * LOG2_E)
    total = tl.sum(numerator, axis=0)
    tl.store(loss_ptr + row, tl.log(total) + largest - target_logit)
    if WITH_GRADIENT:
        dx = numerator * (dloss / total) - tl.where(lane == target, dloss, 0.0)
        tl.store(dx_ptr + row * dx_stride + lane, dx, mask=lane < columns)


@triton.jit
def _differentiate(x_ptr, dx_ptr, at, inside, target, largest, scale, dloss, MASKED: tl.constexpr):
    """Write one step of a row's gradient; `at` and `target` count from the same place."""
    x = load_step(x_ptr, at, inside, MASKED, True)
    dx = tl.exp2((x - largest) * LOG2_E) * scale - tl.where(at == target, dloss, 0.0)
    store_step(dx_ptr, at, dx, inside, MASKED)


@triton.jit
def _wide(
    x_ptr, target_ptr, loss_ptr, dx_ptr, columns, x_stride, dx_stride, dloss,
    WITH_GRADIENT: tl.constexpr, VECTOR: tl.constexpr, ALIKE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Loss and gradient of a row that is swept over, forth and, for the gradient, back."""
    row = tl.program_id(0).to(tl.int64)
    begin = row * x_stride
    target = tl.load(target_ptr + row).to(tl.int32)
    target_logit = tl.load(x_ptr + begin + target).to(tl.float32)  # before the gradient may overwrite it

    largest, total = maximum_and_sum(x_ptr, begin, columns, VECTOR, BLOCK)
    tl.store(loss_ptr + row, tl.log(total) + largest - target_logit)
    if WITH_GRADIENT:
        scale = dloss / total
        first, before, whole, after = whole_steps(begin, columns, VECTOR, BLOCK)
        x_ptr += first
        dx_ptr += as_aligned(row * dx_stride, before, VECTOR, ALIKE)
        target -= before
        lane = tl.arange(0, BLOCK)
        if after:
            _differentiate(x_ptr, dx_ptr, whole + lane, lane < after, target, largest, scale, dloss, True)
        for back in tl.range(BLOCK, whole + BLOCK, BLOCK):
            _differentiate(x_ptr, dx_ptr, whole - back + lane, lane < BLOCK, target, largest, scale, dloss, False)
        if before:
            _differentiate(x_ptr, dx_ptr, lane - BLOCK, lane >= BLOCK - before, target, largest, scale, dloss, True)


@triton.jit
def _scale(dx_ptr, factor_ptr, count, BLOCK: tl.constexpr):
    factor = tl.load(factor_ptr).to(tl.float32)
    if factor != 1.0:  # decided on the device: the host need not wait for the value
        for start in tl.range(tl.program_id(0).to(tl.int64) * BLOCK, count, tl.num_programs(0) * BLOCK):
            at = start + tl.arange(0, BLOCK)
            dx = tl.load(dx_ptr + at, mask=at < count).to(tl.float32)
            tl.store(dx_ptr + at, dx * factor, mask=at < count)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor, overwrite_logits: bool) -> Tensor:
        with_gradient = ctx.needs_input_grad[0]
        x = as_rows(logits)
        count, columns = x.shape
        losses = torch.empty(count, dtype=torch.float32, device=x.device)
        dx = x  # where the gradient goes, if at all
        if with_gradient and not overwrite_logits:
            dx = torch.empty((count, columns), dtype=x.dtype, device=x.device)
        operands = x, targets, losses, dx, columns, x.stride(0), dx.stride(0), 1.0 / count, with_gradient
        if columns <= WIDEST_TILE:
            tile = row_tile(columns)
            _tile[(count,)](*operands, tile.columns, num_warps=tile.num_warps)
        else:
            sweep = choose_sweep(columns * x.element_size(), comes_back=with_gradient)
            _wide[(count,)](*operands, vector_length(x), begin_alike(x, dx), sweep.step, num_warps=sweep.num_warps)
        ctx.gradient = dx if with_gradient else None
        ctx.shape = logits.shape
        return losses.mean()

    @staticmethod
    def backward(ctx, dloss: Tensor) -> tuple[Tensor, None, None]:
        dx, ctx.gradient = ctx.gradient, None
        if dx is None:
            raise RuntimeError(
                "cross_entropy hands its gradient on, so it can be backpropagated through once. "
                "Call cross_entropy again instead of retaining the graph."
            )
        programs = min(triton.cdiv(dx.numel(), SCALE_BLOCK), 8 * grid_limits(dx.device).multiprocessors)
        _scale[(programs,)](dx, dloss, dx.numel(), SCALE_BLOCK, num_warps=4)
        return dx.view(ctx.shape), None, None


def cross_entropy(logits: Tensor, targets: Tensor, *, overwrite_logits: bool = False) -> Tensor:
    """Mean over all rows of -log softmax(logits)[target], differentiable in the logits, once.

    Args:
        logits: [..., vocabulary] in float32, bf16 or fp16; rows with adjacent columns are read where they
            lie, other layouts are copied first. In fp16, gradients below 6e-8 become zero before a
            gradient scaler can raise them: prefer bf16 there.
        targets: [...], integers in [0, vocabulary), which are not checked.
        overwrite_logits: write the gradient over the logits, which are useless afterwards. Autograd does not
            notice: nothing else may need their values, and a matrix product that made them does not.

    Returns:
        The loss, a float32 scalar. All arithmetic is in float32.

    Raises:
        ValueError: there are no rows, shapes do not fit each other, or `overwrite_logits` is asked for logits
            that are not contiguous.
        RuntimeError: on a second backward pass through the same loss.

    Moves numel · itemsize bytes without and 2 · numel · itemsize with gradient; as much again where the loss
    is scaled by anything but 1.
    """
    if targets.shape != logits.shape[:-1] or logits.numel() == 0:
        raise ValueError(
            "cross_entropy needs at least one row of logits and one target per row, "
            f"but got logits {tuple(logits.shape)} and targets {tuple(targets.shape)}."
        )
    if overwrite_logits and not logits.is_contiguous():
        raise ValueError("cross_entropy can overwrite contiguous logits only; pass logits.contiguous().")
    return _CrossEntropy.apply(logits, targets.contiguous(), overwrite_logits)
