"""The maximum and the sum of exponentials of a row too wide for registers, in one sweep over it.

The sum is kept relative to the largest element so far, and rescaled whenever that grows (Milakov & Gimelshein 2018,
arXiv:1805.02867).
"""

from __future__ import annotations

from math import e, log2

import triton
import triton.language as tl

LOG2_E = tl.constexpr(log2(e))  # exp2 is one instruction, exp is four
LOWEST = tl.constexpr(-3.4028234663852886e38)  # float32's; unlike -inf it may be subtracted from itself


@triton.jit
def maximum_and_sum(x_ptr, columns, VECTOR: tl.constexpr, BLOCK: tl.constexpr):
    """max x and sum_k exp(x_k - max x), in float32, of the row of `columns` adjacent elements at `x_ptr`.

    Args:
        VECTOR: elements that a thread loads at once.
        BLOCK: elements per step, a multiple of VECTOR.
    """
    lane = tl.arange(0, BLOCK)

    # Each vector that a thread loads keeps its own maximum and sum: no step waits for other threads.
    group_largest = tl.full([BLOCK // VECTOR], LOWEST, tl.float32)
    group_total = tl.zeros([BLOCK // VECTOR], tl.float32)
    for start in tl.range(0, columns, BLOCK, loop_unroll_factor=2):
        inside = start + lane < columns
        x = tl.load(x_ptr + start + lane, mask=inside, other=float("-inf")).to(tl.float32)
        x = tl.reshape(x, [BLOCK // VECTOR, VECTOR])
        new_largest = tl.maximum(group_largest, tl.max(x, axis=1))
        group_total *= tl.exp2((group_largest - new_largest) * LOG2_E)
        group_total += tl.sum(tl.exp2((x - new_largest[:, None]) * LOG2_E), axis=1)
        group_largest = new_largest
    largest = tl.max(group_largest, axis=0)
    return largest, tl.sum(group_total * tl.exp2((group_largest - largest) * LOG2_E), axis=0)
