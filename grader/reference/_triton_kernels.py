"""The Triton kernels behind `kernels.py`: FlashAttention-2 and RMSNorm, forward and backward.

Written to be read: one tile size, contiguous tensors, masks at every edge. `grader/kernels/` has those that are fast.
A kernel adds up in float32, or in float64 where its inputs are float64, which Triton's interpreter can do on the CPU.
"""

import triton
import triton.language as tl


@triton.jit
def load_rows(ptr, start, length, ROWS: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr):
    """Rows from `start` on of a matrix [length, DIM], zeros beyond its edges: [ROWS, BLOCK]."""
    row = start + tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, BLOCK)[None, :]
    return tl.load(ptr + row * DIM + column, mask=(row < length) & (column < DIM), other=0.0)


@triton.jit
def store_rows(ptr, start, length, tile, ROWS: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr):
    """Write what `load_rows` reads."""
    row = start + tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, BLOCK)[None, :]
    tl.store(ptr + row * DIM + column, tile, mask=(row < length) & (column < DIM))


@triton.jit
def masked_scores(
    q, k, first_query, first_key, keys, scale, CAUSAL: tl.constexpr, ROWS: tl.constexpr, ACCUMULATOR: tl.constexpr
):
    """A tile of scale * Q K^T, minus infinity where a key does not exist or a query may not see it."""
    scores = tl.dot(q, tl.trans(k), out_dtype=ACCUMULATOR, input_precision="ieee") * scale
    query = first_query + tl.arange(0, ROWS)[:, None]
    key = first_key + tl.arange(0, ROWS)[None, :]
    visible = key < keys
    if CAUSAL:
        visible = visible & (key <= query)
    return tl.where(visible, scores, float("-inf"))


@triton.jit
def attention_forward(
    q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, queries, keys, scale,
    CAUSAL: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, ACCUMULATOR: tl.constexpr,
):  # fmt: skip
    """One tile of queries of one sequence: algorithm 1 of FlashAttention-2."""
    first_query = tl.program_id(0) * ROWS
    sequence = tl.program_id(1).to(tl.int64)
    q = load_rows(q_ptr + sequence * queries * DIM, first_query, queries, ROWS, DIM, BLOCK)
    row_max = tl.full([ROWS], float("-inf"), ACCUMULATOR)
    row_sum = tl.zeros([ROWS], ACCUMULATOR)
    output = tl.zeros([ROWS, BLOCK], ACCUMULATOR)
    end = keys
    if CAUSAL:
        end = tl.minimum(keys, first_query + ROWS)
    for first_key in range(0, end, ROWS):
        k = load_rows(k_ptr + sequence * keys * DIM, first_key, keys, ROWS, DIM, BLOCK)
        v = load_rows(v_ptr + sequence * keys * DIM, first_key, keys, ROWS, DIM, BLOCK)
        scores = masked_scores(q, k, first_query, first_key, keys, scale, CAUSAL, ROWS, ACCUMULATOR)
        new_max = tl.maximum(row_max, tl.max(scores, axis=1))  # finite: every query sees key 0
        weights = tl.exp(scores - new_max[:, None])
        shrink = tl.exp(row_max - new_max)
        row_sum = row_sum * shrink + tl.sum(weights, axis=1)
        update = tl.dot(weights.to(v.dtype), v, out_dtype=ACCUMULATOR, input_precision="ieee")
        output = output * shrink[:, None] + update
        row_max = new_max
    output = output / row_sum[:, None]
    store_rows(o_ptr + sequence * queries * DIM, first_query, queries, output, ROWS, DIM, BLOCK)
    query = first_query + tl.arange(0, ROWS)
    tl.store(lse_ptr + sequence * queries + query, row_max + tl.log(row_sum), mask=query < queries)


@triton.jit
def score_gradients(
    q, k, v, do, lse, delta, first_query, first_key, keys, scale,
    CAUSAL: tl.constexpr, ROWS: tl.constexpr, ACCUMULATOR: tl.constexpr,
):  # fmt: skip
    """The tiles P = exp(S - L) and dS = P * (dO V^T - D) of algorithm 2."""
    scores = masked_scores(q, k, first_query, first_key, keys, scale, CAUSAL, ROWS, ACCUMULATOR)
    weights = tl.exp(scores - lse[:, None])
    d_weights = tl.dot(do, tl.trans(v), out_dtype=ACCUMULATOR, input_precision="ieee")
    return weights, weights * (d_weights - delta[:, None])


@triton.jit
def attention_backward_queries(
    q_ptr, k_ptr, v_ptr, do_ptr, lse_ptr, delta_ptr, dq_ptr, queries, keys, scale,
    CAUSAL: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, ACCUMULATOR: tl.constexpr,
):  # fmt: skip
    """dQ of one tile of queries: a walk along the keys."""
    first_query = tl.program_id(0) * ROWS
    sequence = tl.program_id(1).to(tl.int64)
    query = first_query + tl.arange(0, ROWS)
    q = load_rows(q_ptr + sequence * queries * DIM, first_query, queries, ROWS, DIM, BLOCK)
    do = load_rows(do_ptr + sequence * queries * DIM, first_query, queries, ROWS, DIM, BLOCK)
    lse = tl.load(lse_ptr + sequence * queries + query, mask=query < queries, other=0.0)
    delta = tl.load(delta_ptr + sequence * queries + query, mask=query < queries, other=0.0)
    dq = tl.zeros([ROWS, BLOCK], ACCUMULATOR)
    end = keys
    if CAUSAL:
        end = tl.minimum(keys, first_query + ROWS)
    for first_key in range(0, end, ROWS):
        k = load_rows(k_ptr + sequence * keys * DIM, first_key, keys, ROWS, DIM, BLOCK)
        v = load_rows(v_ptr + sequence * keys * DIM, first_key, keys, ROWS, DIM, BLOCK)
        _, ds = score_gradients(q, k, v, do, lse, delta, first_query, first_key, keys, scale, CAUSAL, ROWS, ACCUMULATOR)
        dq += tl.dot(ds.to(k.dtype), k, out_dtype=ACCUMULATOR, input_precision="ieee")
    store_rows(dq_ptr + sequence * queries * DIM, first_query, queries, dq * scale, ROWS, DIM, BLOCK)


@triton.jit
def attention_backward_keys(
    q_ptr, k_ptr, v_ptr, do_ptr, lse_ptr, delta_ptr, dk_ptr, dv_ptr, queries, keys, scale,
    CAUSAL: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, ACCUMULATOR: tl.constexpr,
):  # fmt: skip
    """dK and dV of one tile of keys: a walk along the queries. Queries that do not exist have dO = 0 and q = 0."""
    first_key = tl.program_id(0) * ROWS
    sequence = tl.program_id(1).to(tl.int64)
    k = load_rows(k_ptr + sequence * keys * DIM, first_key, keys, ROWS, DIM, BLOCK)
    v = load_rows(v_ptr + sequence * keys * DIM, first_key, keys, ROWS, DIM, BLOCK)
    dk = tl.zeros([ROWS, BLOCK], ACCUMULATOR)
    dv = tl.zeros([ROWS, BLOCK], ACCUMULATOR)
    begin = 0
    if CAUSAL:
        begin = first_key
    for first_query in range(begin, queries, ROWS):
        query = first_query + tl.arange(0, ROWS)
        q = load_rows(q_ptr + sequence * queries * DIM, first_query, queries, ROWS, DIM, BLOCK)
        do = load_rows(do_ptr + sequence * queries * DIM, first_query, queries, ROWS, DIM, BLOCK)
        lse = tl.load(lse_ptr + sequence * queries + query, mask=query < queries, other=0.0)
        delta = tl.load(delta_ptr + sequence * queries + query, mask=query < queries, other=0.0)
        weights, ds = score_gradients(
            q, k, v, do, lse, delta, first_query, first_key, keys, scale, CAUSAL, ROWS, ACCUMULATOR
        )
        dv += tl.dot(tl.trans(weights.to(do.dtype)), do, out_dtype=ACCUMULATOR, input_precision="ieee")
        dk += tl.dot(tl.trans(ds.to(q.dtype)), q, out_dtype=ACCUMULATOR, input_precision="ieee")
    store_rows(dk_ptr + sequence * keys * DIM, first_key, keys, dk * scale, ROWS, DIM, BLOCK)
    store_rows(dv_ptr + sequence * keys * DIM, first_key, keys, dv, ROWS, DIM, BLOCK)


@triton.jit
def rmsnorm_forward(
    x_ptr, gain_ptr, y_ptr, inverse_rms_ptr, columns, eps, BLOCK: tl.constexpr, ACCUMULATOR: tl.constexpr
):
    """One row: y = x * r * gain with r = 1 / sqrt(mean(x^2) + eps). Reads x and writes y once."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < columns
    x = tl.load(x_ptr + row * columns + column, mask=inside, other=0.0).to(ACCUMULATOR)
    gain = tl.load(gain_ptr + column, mask=inside, other=0.0).to(ACCUMULATOR)
    inverse_rms = 1 / tl.sqrt(tl.sum(x * x, axis=0) / columns + eps)
    tl.store(inverse_rms_ptr + row, inverse_rms)
    tl.store(y_ptr + row * columns + column, x * inverse_rms * gain, mask=inside)


@triton.jit
def rmsnorm_backward(
    x_ptr, gain_ptr, inverse_rms_ptr, dy_ptr, dx_ptr, dgain_ptr, rows, columns,
    BLOCK: tl.constexpr, ROWS: tl.constexpr, ACCUMULATOR: tl.constexpr,
):  # fmt: skip
    """ROWS rows, one after the other: dx = r * (g dy - n * mean(g dy * n)) with n = x * r, and their part of dgain."""
    column = tl.arange(0, BLOCK)
    inside = column < columns
    gain = tl.load(gain_ptr + column, mask=inside, other=0.0).to(ACCUMULATOR)
    dgain = tl.zeros([BLOCK], ACCUMULATOR)
    first_row = tl.program_id(0).to(tl.int64) * ROWS
    for row in range(first_row, tl.minimum(first_row + ROWS, rows)):
        x = tl.load(x_ptr + row * columns + column, mask=inside, other=0.0).to(ACCUMULATOR)
        dy = tl.load(dy_ptr + row * columns + column, mask=inside, other=0.0).to(ACCUMULATOR)
        inverse_rms = tl.load(inverse_rms_ptr + row)
        normed = x * inverse_rms
        dnormed = dy * gain
        dx = inverse_rms * (dnormed - normed * (tl.sum(dnormed * normed, axis=0) / columns))
        tl.store(dx_ptr + row * columns + column, dx, mask=inside)
        dgain += dy * normed
    tl.store(dgain_ptr + tl.program_id(0).to(tl.int64) * columns + column, dgain, mask=inside)
