"""FlashAttention-2, forward and backward (Dao 2023, arXiv:2307.08691, algorithms 1 and 2).

    S = scale · Q Kᵀ        P = softmax(S)        O = P V        L_i = log sum_j exp S_ij
    D_i = sum_d dO_id O_id        dS = P ∘ (dO Vᵀ - D)
    dQ = scale · dS K        dK = scale · dSᵀ Q        dV = Pᵀ dO

With B batches, H heads, n queries, m keys and d dimensions, forward takes 4BHnmd FLOPs in two matrix products
and backward 10BHnmd in five, half of that when causal. The bytes, 4 tensors forward and 8 backward, matter
only below some 500 keys. S and P exist as tiles alone; forward keeps L, 4 bytes per query, and backward
recomputes P from it.

Forward: a program takes BLOCK_QUERIES rows of Q and walks along the keys. Its accumulator is its tile of O:
128 × 128 float32 values are 64 registers in each of 256 threads, which leaves room for a tile of S. Tiles of
K and V stream through shared memory, `num_stages` deep (2 · 128 · 128 bf16 values are 64 KiB per stage).

Backward: two kernels, so that each gradient is summed in registers, in a fixed order and without atomics. One
walks along the queries for its tile of keys (dK, dV), the other along the keys for its tile of queries (dQ).
S and dO Vᵀ are computed in both: 14BHnmd FLOPs where 10 are due. The first works on transposed tiles, Sᵀ = K
Qᵀ, so that Pᵀ and dSᵀ are the left operand of the next product, which may stay in registers.

The best tile depends on the GPU, the head dimension and the dtype: `choose_tile`.
"""

from __future__ import annotations

from math import e, log2
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .rows import grid_limits

LARGEST_HEAD_DIM = 128
LEAST_BLOCK_DIM = 16  # the shortest side of a matrix product
LOG2_E = tl.constexpr(log2(e))
LN_2 = tl.constexpr(1 / log2(e))


# --- Tiles ---


class Tile(NamedTuple):
    """The rows of Q and of K (and V) that a program works on at a time, and how it is compiled."""

    queries: int
    keys: int
    num_warps: int
    num_stages: int


FORWARD, BACKWARD_KEYS, BACKWARD_QUERIES = "forward", "backward_keys", "backward_queries"

# The fastest for causal bf16 attention over 8,192 tokens on an H100, of 36 each that `benchmarks/results` lists, by the
# largest head dimension that they are for. To choose is cheaper than to try: trying compiles each, in every process.
_FASTEST = {
    FORWARD: ((128, Tile(128, 64, 8, 3)),),
    BACKWARD_KEYS: ((64, Tile(64, 64, 4, 3)), (128, Tile(64, 64, 4, 2))),
    BACKWARD_QUERIES: ((64, Tile(64, 64, 4, 3)), (128, Tile(128, 64, 8, 3))),
}
_FOR_LESS_SHARED_MEMORY = Tile(64, 32, 4, 2)
_FOR_FLOAT32 = Tile(32, 32, 8, 2)  # ordinary cores do the products, and operands take twice the registers
_INTERPRETED = Tile(32, 16, 4, 1)
_RESERVED_BYTES = 1_024  # of a multiprocessor's shared memory, for each program
_SCALARS_BYTES = 4_096  # what else lies in shared memory: a value for each row, and room for reductions


def choose_tile(kernel: str, dtype: torch.dtype, block_dim: int, shared_bytes: int) -> Tile:
    """The tile for operands of this dtype and head dimension, where a program may have so much shared memory."""
    if dtype == torch.float32:
        return _FOR_FLOAT32
    tile = next(tile for largest_dim, tile in _FASTEST[kernel] if block_dim <= largest_dim)
    resident, streamed = (tile.keys, tile.queries) if kernel == BACKWARD_KEYS else (tile.queries, tile.keys)
    tensors_resident = 1 if kernel == FORWARD else 2
    needed = block_dim * dtype.itemsize * (tensors_resident * resident + 2 * streamed * tile.num_stages)
    return tile if needed + _SCALARS_BYTES <= shared_bytes else _FOR_LESS_SHARED_MEMORY


def _tile(kernel: str, q: Tensor, block_dim: int) -> Tile:
    if q.device.type != "cuda":
        return _INTERPRETED
    return choose_tile(kernel, q.dtype, block_dim, grid_limits(q.device).shared_bytes - _RESERVED_BYTES)


@triton.jit
def _head_of(ptr, strides, heads):
    """The matrix of this program's batch and head in a tensor [batch, heads, rows, dim]."""
    batch = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)
    return ptr + batch * strides[0] + head * strides[1]


@triton.jit
def _load_tile(
    ptr, stride, start, length,
    ROWS: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """Rows from `start` on of a matrix [length, DIM], zero beyond it; WHOLE promises that all rows exist."""
    row = start + tl.arange(0, ROWS)[:, None]
    dim = tl.arange(0, BLOCK_DIM)[None, :]
    at = ptr + row.to(tl.int64) * stride + dim
    if WHOLE and DIM == BLOCK_DIM:
        tile = tl.load(at)
    elif WHOLE:
        tile = tl.load(at, mask=dim < DIM, other=0.0)
    else:
        tile = tl.load(at, mask=(row < length) & (dim < DIM), other=0.0)
    return tile


@triton.jit
def _store_tile(
    ptr, stride, start, length, tile, ROWS: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr
):  # fmt: skip
    row = start + tl.arange(0, ROWS)[:, None]
    dim = tl.arange(0, BLOCK_DIM)[None, :]
    tl.store(ptr + row.to(tl.int64) * stride + dim, tile, mask=(row < length) & (dim < DIM))


@triton.jit
def _product(a, b, accumulator=None):
    """a b, added to a float32 accumulator; float32 operands are not rounded to tf32."""
    return tl.dot(a, b, accumulator, input_precision="ieee")


@triton.jit
def _visible_keys(
    first_query, keys, CAUSAL: tl.constexpr, BLOCK_QUERIES: tl.constexpr, BLOCK_KEYS: tl.constexpr
):  # fmt: skip
    """Where the tiles of keys end that all queries of a tile see whole, and those that any of them sees."""
    whole = keys // BLOCK_KEYS * BLOCK_KEYS
    end = keys
    if CAUSAL:
        whole = tl.minimum(whole, (first_query + 1) // BLOCK_KEYS * BLOCK_KEYS)
        end = tl.minimum(end, first_query + BLOCK_QUERIES)
    return whole, end


# --- Forward ---


@triton.jit
def _attend(
    accumulator, row_max, row_sum, q, k_ptr, k_stride, v_ptr, v_stride,
    first_query, begin, end, keys, scale_log2,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr, BLOCK_KEYS: tl.constexpr,
):  # fmt: skip
    """Attend to the keys in [begin, end): the inner loop of algorithm 1, with exponents to base 2."""
    for start in tl.range(begin, end, BLOCK_KEYS):
        k = _load_tile(k_ptr, k_stride, start, keys, BLOCK_KEYS, DIM, BLOCK_DIM, not MASKED)
        s = _product(q, tl.trans(k))
        if MASKED:
            key = start + tl.arange(0, BLOCK_KEYS)[None, :]
            visible = key < keys
            if CAUSAL:
                visible &= key <= first_query + tl.arange(0, BLOCK_QUERIES)[:, None]
            s = tl.where(visible, s, float("-inf"))

        # Every query sees key 0, so from the first tile on the maximum is finite.
        new_max = tl.maximum(row_max, tl.max(s, axis=1) * scale_log2)
        p = tl.exp2(s * scale_log2 - new_max[:, None])
        shrink = tl.exp2(row_max - new_max)
        row_sum = row_sum * shrink + tl.sum(p, axis=1)
        row_max = new_max

        v = _load_tile(v_ptr, v_stride, start, keys, BLOCK_KEYS, DIM, BLOCK_DIM, not MASKED)
        accumulator = _product(p.to(v.dtype), v, accumulator * shrink[:, None])
    return accumulator, row_max, row_sum


@triton.jit
def _forward(
    q_ptr, q_strides, k_ptr, k_strides, v_ptr, v_strides, o_ptr, o_strides, lse_ptr,
    heads, queries, keys, scale,
    CAUSAL: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr, BLOCK_KEYS: tl.constexpr,
):  # fmt: skip
    # With a causal mask the last tiles have the most to do: they start first, and short ones fill the gaps.
    tile = tl.num_programs(0) - 1 - tl.program_id(0) if CAUSAL else tl.program_id(0)
    first_query = tile * BLOCK_QUERIES
    q_ptr = _head_of(q_ptr, q_strides, heads)
    k_ptr = _head_of(k_ptr, k_strides, heads)
    v_ptr = _head_of(v_ptr, v_strides, heads)
    scale_log2 = scale * LOG2_E

    q = _load_tile(q_ptr, q_strides[2], first_query, queries, BLOCK_QUERIES, DIM, BLOCK_DIM, False)
    accumulator = tl.zeros([BLOCK_QUERIES, BLOCK_DIM], tl.float32)
    row_max = tl.full([BLOCK_QUERIES], float("-inf"), tl.float32)
    row_sum = tl.zeros([BLOCK_QUERIES], tl.float32)

    whole, end = _visible_keys(first_query, keys, CAUSAL, BLOCK_QUERIES, BLOCK_KEYS)
    accumulator, row_max, row_sum = _attend(
        accumulator, row_max, row_sum, q, k_ptr, k_strides[2], v_ptr, v_strides[2],
        first_query, 0, whole, keys, scale_log2, False, CAUSAL, DIM, BLOCK_DIM, BLOCK_QUERIES, BLOCK_KEYS,
    )  # fmt: skip
    accumulator, row_max, row_sum = _attend(
        accumulator, row_max, row_sum, q, k_ptr, k_strides[2], v_ptr, v_strides[2],
        first_query, whole, end, keys, scale_log2, True, CAUSAL, DIM, BLOCK_DIM, BLOCK_QUERIES, BLOCK_KEYS,
    )  # fmt: skip

    o = accumulator / row_sum[:, None]
    _store_tile(
        _head_of(o_ptr, o_strides, heads),
        o_strides[2],
        first_query,
        queries,
        o,
        BLOCK_QUERIES,
        DIM,
        BLOCK_DIM,
    )
    query = first_query + tl.arange(0, BLOCK_QUERIES)
    lse_ptr += tl.program_id(1).to(tl.int64) * queries
    tl.store(lse_ptr + query, (row_max + tl.log2(row_sum)) * LN_2, mask=query < queries)


# --- Backward ---


@triton.jit
def _row_products(
    o_ptr, o_strides, do_ptr, do_strides, delta_ptr, heads, queries,
    DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_QUERIES: tl.constexpr,
):  # fmt: skip
    """D of the formulas above: the sum of dO ∘ O over each row."""
    first_query = tl.program_id(0) * BLOCK_QUERIES
    o_ptr = _head_of(o_ptr, o_strides, heads)
    do_ptr = _head_of(do_ptr, do_strides, heads)
    o = _load_tile(o_ptr, o_strides[2], first_query, queries, BLOCK_QUERIES, DIM, BLOCK_DIM, False)
    do = _load_tile(do_ptr, do_strides[2], first_query, queries, BLOCK_QUERIES, DIM, BLOCK_DIM, False)
    query = first_query + tl.arange(0, BLOCK_QUERIES)
    delta = tl.sum(o.to(tl.float32) * do.to(tl.float32), axis=1)
    tl.store(delta_ptr + tl.program_id(1).to(tl.int64) * queries + query, delta, mask=query < queries)


@triton.jit
def _gather_from_queries(
    dk, dv, k, v, q_ptr, q_stride, do_ptr, do_stride, lse_ptr, delta_ptr,
    first_key, begin, end, queries, scale_log2,
    MASKED: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr, BLOCK_KEYS: tl.constexpr,
):  # fmt: skip
    """Add to dK and dV what the queries in [begin, end) contribute; zeros beyond the last add nothing."""
    for start in tl.range(begin, end, BLOCK_QUERIES):
        query = start + tl.arange(0, BLOCK_QUERIES)
        q = _load_tile(q_ptr, q_stride, start, queries, BLOCK_QUERIES, DIM, BLOCK_DIM, False)
        do = _load_tile(do_ptr, do_stride, start, queries, BLOCK_QUERIES, DIM, BLOCK_DIM, False)
        lse_log2 = tl.load(lse_ptr + query, mask=query < queries, other=0.0) * LOG2_E
        delta = tl.load(delta_ptr + query, mask=query < queries, other=0.0)

        p = tl.exp2(_product(k, tl.trans(q)) * scale_log2 - lse_log2[None, :])  # transposed: [keys, queries]
        if MASKED:
            p = tl.where(first_key + tl.arange(0, BLOCK_KEYS)[:, None] <= query[None, :], p, 0.0)
        dv = _product(p.to(do.dtype), do, dv)
        ds = p * (_product(v, tl.trans(do)) - delta[None, :])
        dk = _product(ds.to(q.dtype), q, dk)
    return dk, dv


@triton.jit
def _backward_keys(
    q_ptr, q_strides, k_ptr, k_strides, v_ptr, v_strides, do_ptr, do_strides, lse_ptr, delta_ptr,
    dk_ptr, dk_strides, dv_ptr, dv_strides, heads, queries, keys, scale,
    CAUSAL: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr, BLOCK_KEYS: tl.constexpr,
):  # fmt: skip
    first_key = tl.program_id(0) * BLOCK_KEYS
    q_ptr = _head_of(q_ptr, q_strides, heads)
    k_ptr = _head_of(k_ptr, k_strides, heads)
    v_ptr = _head_of(v_ptr, v_strides, heads)
    do_ptr = _head_of(do_ptr, do_strides, heads)
    lse_ptr += tl.program_id(1).to(tl.int64) * queries
    delta_ptr += tl.program_id(1).to(tl.int64) * queries
    scale_log2 = scale * LOG2_E

    k = _load_tile(k_ptr, k_strides[2], first_key, keys, BLOCK_KEYS, DIM, BLOCK_DIM, False)
    v = _load_tile(v_ptr, v_strides[2], first_key, keys, BLOCK_KEYS, DIM, BLOCK_DIM, False)
    dk = tl.zeros([BLOCK_KEYS, BLOCK_DIM], tl.float32)
    dv = tl.zeros([BLOCK_KEYS, BLOCK_DIM], tl.float32)

    # From query `whole` on, all see the whole tile of keys. The masked queries before it come last: with the
    # two loops in the other order, the assembler (ptxas) makes each matrix instruction wait for the last one.
    whole = 0
    if CAUSAL:
        whole = tl.minimum(tl.cdiv(first_key + BLOCK_KEYS - 1, BLOCK_QUERIES) * BLOCK_QUERIES, queries)
    dk, dv = _gather_from_queries(
        dk, dv, k, v, q_ptr, q_strides[2], do_ptr, do_strides[2], lse_ptr, delta_ptr,
        first_key, whole, queries, queries, scale_log2, False, DIM, BLOCK_DIM, BLOCK_QUERIES, BLOCK_KEYS,
    )  # fmt: skip
    if CAUSAL:
        begin = first_key // BLOCK_QUERIES * BLOCK_QUERIES
        dk, dv = _gather_from_queries(
            dk, dv, k, v, q_ptr, q_strides[2], do_ptr, do_strides[2], lse_ptr, delta_ptr,
            first_key, begin, whole, queries, scale_log2, True, DIM, BLOCK_DIM, BLOCK_QUERIES, BLOCK_KEYS,
        )  # fmt: skip

    dk_ptr = _head_of(dk_ptr, dk_strides, heads)
    dv_ptr = _head_of(dv_ptr, dv_strides, heads)
    _store_tile(dk_ptr, dk_strides[2], first_key, keys, dk * scale, BLOCK_KEYS, DIM, BLOCK_DIM)
    _store_tile(dv_ptr, dv_strides[2], first_key, keys, dv, BLOCK_KEYS, DIM, BLOCK_DIM)


@triton.jit
def _gather_from_keys(
    dq, q, do, lse_log2, delta, k_ptr, k_stride, v_ptr, v_stride, first_query, begin, end, keys, scale_log2,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr, BLOCK_KEYS: tl.constexpr,
):  # fmt: skip
    """Add to dQ what the keys in [begin, end) contribute."""
    for start in tl.range(begin, end, BLOCK_KEYS):
        k = _load_tile(k_ptr, k_stride, start, keys, BLOCK_KEYS, DIM, BLOCK_DIM, not MASKED)
        v = _load_tile(v_ptr, v_stride, start, keys, BLOCK_KEYS, DIM, BLOCK_DIM, not MASKED)

        p = tl.exp2(_product(q, tl.trans(k)) * scale_log2 - lse_log2[:, None])
        if MASKED:
            key = start + tl.arange(0, BLOCK_KEYS)[None, :]
            visible = key < keys
            if CAUSAL:
                visible &= key <= first_query + tl.arange(0, BLOCK_QUERIES)[:, None]
            p = tl.where(visible, p, 0.0)
        ds = p * (_product(do, tl.trans(v)) - delta[:, None])
        dq = _product(ds.to(k.dtype), k, dq)
    return dq


@triton.jit
def _backward_queries(
    q_ptr, q_strides, k_ptr, k_strides, v_ptr, v_strides, do_ptr, do_strides, lse_ptr, delta_ptr,
    dq_ptr, dq_strides, heads, queries, keys, scale,
    CAUSAL: tl.constexpr, DIM: tl.constexpr, BLOCK_DIM: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr, BLOCK_KEYS: tl.constexpr,
):  # fmt: skip
    tile = tl.num_programs(0) - 1 - tl.program_id(0) if CAUSAL else tl.program_id(0)  # longest first, as forward
    first_query = tile * BLOCK_QUERIES
    q_ptr = _head_of(q_ptr, q_strides, heads)
    k_ptr = _head_of(k_ptr, k_strides, heads)
    v_ptr = _head_of(v_ptr, v_strides, heads)
    do_ptr = _head_of(do_ptr, do_strides, heads)
    lse_ptr += tl.program_id(1).to(tl.int64) * queries
    delta_ptr += tl.program_id(1).to(tl.int64) * queries
    scale_log2 = scale * LOG2_E

    q = _load_tile(q_ptr, q_strides[2], first_query, queries, BLOCK_QUERIES, DIM, BLOCK_DIM, False)
    do = _load_tile(do_ptr, do_strides[2], first_query, queries, BLOCK_QUERIES, DIM, BLOCK_DIM, False)
    query = first_query + tl.arange(0, BLOCK_QUERIES)
    lse_log2 = tl.load(lse_ptr + query, mask=query < queries, other=0.0) * LOG2_E
    delta = tl.load(delta_ptr + query, mask=query < queries, other=0.0)
    dq = tl.zeros([BLOCK_QUERIES, BLOCK_DIM], tl.float32)

    whole, end = _visible_keys(first_query, keys, CAUSAL, BLOCK_QUERIES, BLOCK_KEYS)
    dq = _gather_from_keys(
        dq, q, do, lse_log2, delta, k_ptr, k_strides[2], v_ptr, v_strides[2],
        first_query, 0, whole, keys, scale_log2, False, CAUSAL, DIM, BLOCK_DIM, BLOCK_QUERIES, BLOCK_KEYS,
    )  # fmt: skip
    dq = _gather_from_keys(
        dq, q, do, lse_log2, delta, k_ptr, k_strides[2], v_ptr, v_strides[2],
        first_query, whole, end, keys, scale_log2, True, CAUSAL, DIM, BLOCK_DIM, BLOCK_QUERIES, BLOCK_KEYS,
    )  # fmt: skip

    dq_ptr = _head_of(dq_ptr, dq_strides, heads)
    _store_tile(dq_ptr, dq_strides[2], first_query, queries, dq * scale, BLOCK_QUERIES, DIM, BLOCK_DIM)


# --- Autograd and the public function ---


class _FlashAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
        batch, heads, queries, dim = q.shape
        keys = k.shape[2]
        q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
        o = torch.empty_like(q)
        lse = torch.empty((batch, heads, queries), dtype=torch.float32, device=q.device)
        block_dim = max(LEAST_BLOCK_DIM, triton.next_power_of_2(dim))

        tile = _tile(FORWARD, q, block_dim)
        _forward[(triton.cdiv(queries, tile.queries), batch * heads)](
            q, q.stride(), k, k.stride(), v, v.stride(), o, o.stride(), lse, heads, queries, keys, scale,
            causal, dim, block_dim, *tile[:2], num_warps=tile.num_warps, num_stages=tile.num_stages,
        )  # fmt: skip
        ctx.save_for_backward(q, k, v, o, lse)
        ctx.mark_non_differentiable(lse)
        ctx.causal, ctx.scale, ctx.block_dim = causal, scale, block_dim
        return o, lse

    @staticmethod
    def backward(ctx, do: Tensor, _dlse: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, o, lse = ctx.saved_tensors
        batch, heads, queries, dim = q.shape
        keys = k.shape[2]
        do = do if do.stride(-1) == 1 else do.contiguous()
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        delta = torch.empty_like(lse)

        _row_products[(triton.cdiv(queries, 64), batch * heads)](
            o, o.stride(), do, do.stride(), delta, heads, queries, dim, ctx.block_dim, 64
        )
        inputs = q, q.stride(), k, k.stride(), v, v.stride(), do, do.stride(), lse, delta
        sizes = heads, queries, keys, ctx.scale, ctx.causal, dim, ctx.block_dim
        tile = _tile(BACKWARD_KEYS, q, ctx.block_dim)
        _backward_keys[(triton.cdiv(keys, tile.keys), batch * heads)](
            *inputs, dk, dk.stride(), dv, dv.stride(), *sizes, *tile[:2],
            num_warps=tile.num_warps, num_stages=tile.num_stages,
        )  # fmt: skip
        tile = _tile(BACKWARD_QUERIES, q, ctx.block_dim)
        _backward_queries[(triton.cdiv(queries, tile.queries), batch * heads)](
            *inputs, dq, dq.stride(), *sizes, *tile[:2],
            num_warps=tile.num_warps, num_stages=tile.num_stages,
        )  # fmt: skip
        return dq, dk, dv, None, None


def flash_attention(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention without its matrix of scores in memory, differentiable in q, k and v.

    Args:
        q: [batch, heads, queries, head_dim] in float32, bf16 or fp16, head_dim from 1 to 128. Any strides
            with adjacent columns are read where they lie, a transposed [batch, queries, heads, head_dim] for
            one.
        k, v: [batch, heads, keys, head_dim] in q's dtype, with at least one key.
        causal: let query i see keys 0 to i only, as PyTorch's `is_causal`.
        scale: positive factor of the scores; 1 / sqrt(head_dim) where None.

    Returns:
        The output [batch, heads, queries, head_dim] in q's dtype and memory layout, and the natural logarithm
        of each query's sum of exponentials, [batch, heads, queries] in float32, which carries no gradient.
        Products of 16-bit tensors add up in float32, with P and dS rounded to 16 bits in between, as in the
        paper; float32 tensors are multiplied in full float32.

    Raises:
        ValueError: shapes or dtypes do not fit each other, head_dim is over 128, or `scale` is not positive.

    Takes 4 · batch · heads · queries · keys · head_dim FLOPs forward and 14 backward (10 are due), half when
    causal.
    """
    batch, heads, _, dim = q.shape
    if k.shape != v.shape or k.shape[:2] != (batch, heads) or k.shape[3] != dim or k.shape[2] == 0:
        raise ValueError(
            "flash_attention needs q [batch, heads, queries, head_dim] and k, v [batch, heads, keys, "
            f"head_dim] with a key at least, but got {tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}."
        )
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(f"flash_attention needs q, k, v in one dtype, but got {q.dtype}, {k.dtype}, {v.dtype}.")
    if not 1 <= dim <= LARGEST_HEAD_DIM:
        raise ValueError(f"flash_attention takes head dimensions from 1 to {LARGEST_HEAD_DIM}, not {dim}.")
    scale = dim**-0.5 if scale is None else scale
    if not scale > 0:
        raise ValueError(f"flash_attention needs a positive scale, not {scale}.")
    if q.numel() == 0:
        return torch.empty_like(q), torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    return _FlashAttention.apply(q, k, v, causal, scale)
