"""Sweeps over a row too wide for registers: its steps, and its maximum and sum of exponentials in one of them.

The sum is kept relative to the largest element so far, and rescaled whenever that grows (Milakov & Gimelshein 2018,
arXiv:1805.02867).

A row may begin anywhere: with GPT-2's 50,257 logits in bf16, seven rows of eight do not begin at a multiple of 16
bytes, and an access with a mask that may end anywhere is one element wide. So a sweep takes steps from the first such
multiple on, whole and without a mask, and what is left at both edges with one. On an H100, cross-entropy of such rows
has gone from 1.76 to 2.77 TB/s by that and by telling the L2 cache what is not read again.
"""

from __future__ import annotations

from math import e, log2
from typing import NamedTuple

import triton
import triton.language as tl

LOG2_E = tl.constexpr(log2(e))  # exp2 is one instruction, exp is four
LOWEST = tl.constexpr(-3.4028234663852886e38)  # float32's; unlike -inf it may be subtracted from itself


class Sweep(NamedTuple):
    """Elements per step, and the warps that share them."""

    step: int
    num_warps: int


def choose_sweep(row_bytes: int, comes_back: bool) -> Sweep:
    """The fastest on an H100 for rows of this length; what is swept back over should still be in the cache by then.

    A row has a program, and all programs at work share 50 MB of L2: the wider the row, the fewer may be under way.
    """
    if not comes_back or row_bytes < 64 << 10:
        return Sweep(8_192, 16)
    return Sweep(8_192, 32) if row_bytes < 128 << 10 else Sweep(16_384, 32)


@triton.jit
def whole_steps(begin, columns, VECTOR: tl.constexpr, BLOCK: tl.constexpr):
    """The steps of BLOCK elements that are whole and aligned, in the row of `columns` elements from `begin` on.

    Args:
        begin: position of the row's first element in an aligned tensor.
        VECTOR: elements that a thread loads at once; 1 where the tensor is not aligned.

    Returns:
        The position where they begin; the elements before them, in them and after them.
    """
    first = tl.cdiv(begin, VECTOR) * VECTOR
    before = (first - begin).to(tl.int32)
    whole = (columns - before) // BLOCK * BLOCK
    return first, before, whole, columns - before - whole


@triton.jit
def as_aligned(begin, before, VECTOR: tl.constexpr, ALIKE: tl.constexpr):
    """The position of the first whole step in another tensor; ALIKE promises that it is aligned there, too."""
    first = begin + before
    if ALIKE:
        first = first // VECTOR * VECTOR
    return first


@triton.jit
def load_step(ptr, at, inside, MASKED: tl.constexpr, LAST: tl.constexpr):
    """The elements of a step in float32, zero beyond the row. LAST: nobody reads them again, and the L2 cache may
    drop them first."""
    if MASKED:
        x = tl.load(ptr + at, mask=inside, other=0.0, eviction_policy="evict_first" if LAST else "")
    else:
        x = tl.load(ptr + at, eviction_policy="evict_first" if LAST else "")
    return x.to(tl.float32)


@triton.jit
def store_step(ptr, at, x, inside, MASKED: tl.constexpr):
    """Write a step that nobody reads again: the L2 cache is for what the sweep back still wants."""
    if MASKED:
        tl.store(ptr + at, x, mask=inside, eviction_policy="evict_first")
    else:
        tl.store(ptr + at, x, eviction_policy="evict_first")


@triton.jit
def _fold(x, largest, total, VECTOR: tl.constexpr, BLOCK: tl.constexpr):
    """One more step: each vector that a thread loads keeps its own maximum and sum, and no step waits for others."""
    x = tl.reshape(x.to(tl.float32), [BLOCK // VECTOR, VECTOR])
    new_largest = tl.maximum(largest, tl.max(x, axis=1))
    total *= tl.exp2((largest - new_largest) * LOG2_E)
    total += tl.sum(tl.exp2((x - new_largest[:, None]) * LOG2_E), axis=1)
    return new_largest, total


@triton.jit
def maximum_and_sum(x_ptr, begin, columns, VECTOR: tl.constexpr, BLOCK: tl.constexpr):
    """max x and sum_k exp(x_k - max x), in float32, of the `columns` adjacent elements from `begin` on.

    Args:
        VECTOR: elements that a thread loads at once.
        BLOCK: elements per step, a multiple of VECTOR.
    """
    first, before, whole, after = whole_steps(begin, columns, VECTOR, BLOCK)
    x_ptr += first
    lane = tl.arange(0, BLOCK)

    largest = tl.full([BLOCK // VECTOR], LOWEST, tl.float32)
    total = tl.zeros([BLOCK // VECTOR], tl.float32)
    if before:
        x = tl.load(x_ptr + lane - BLOCK, mask=lane >= BLOCK - before, other=float("-inf"))
        largest, total = _fold(x, largest, total, VECTOR, BLOCK)
    for start in tl.range(0, whole, BLOCK, loop_unroll_factor=2):
        x = tl.load(x_ptr + start + lane)
        largest, total = _fold(x, largest, total, VECTOR, BLOCK)
    if after:
        x = tl.load(x_ptr + whole + lane, mask=lane < after, other=float("-inf"))
        largest, total = _fold(x, largest, total, VECTOR, BLOCK)

    row_largest = tl.max(largest, axis=0)
    return row_largest, tl.sum(total * tl.exp2((largest - row_largest) * LOG2_E), axis=0)
