"""Kernels (optional): attention and RMSNorm as autograd functions that never write their intermediates to memory.

Triton's interpreter runs kernels without a GPU: the tests set TRITON_INTERPRET=1, and tensors then stay on the CPU. You
can print and set breakpoints in a kernel. The interpreter is slow, so keep tensors small, and it cannot compute with
bfloat16. `tl.make_block_ptr` exists only up to Triton 3.8; pointers with masks and `tl.make_tensor_descriptor` work in
every version.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_TILE = 64


class FlashAttentionPyTorch(torch.autograd.Function):
    """FlashAttention-2 in PyTorch, tile by tile (Dao, 2023, algorithms 1 and 2):

        S = Q K^T / sqrt(d)        P = softmax(S)        O = P V        L_i = log sum_j e^(S_ij)

    Slices of tensors stand for the tiles that a GPU would hold in its fast memory, so that you can see and test the
    algorithm. The forward pass must not create a tensor as large as the whole of S or P.
    `FlashAttentionPyTorch.apply(Q, K, V, is_causal)` returns O.

    Problem: flash_attention_pytorch
    """

    @staticmethod
    def forward(
        ctx,
        Q: Float[Tensor, "batch queries d"],
        K: Float[Tensor, "batch keys d"],
        V: Float[Tensor, "batch keys d"],
        is_causal: bool = False,
    ) -> Float[Tensor, "batch queries d"]:
        """Return O in the dtype of Q, and save what the backward pass needs, including L.

        Save L once, with `ctx.save_for_backward`: exactly one saved tensor must have the shape [batch, queries]. L is
        the natural logarithm, in float32 (float64 for float64 inputs). With `is_causal`, query i sees only the keys 0
        to i. The numbers of queries and keys may differ; they and d need not be powers of two or multiples of a tile.
        """
        batch, queries, _ = Q.shape
        wide = torch.promote_types(Q.dtype, torch.float32)
        O = torch.empty_like(Q)
        L = torch.empty(batch, queries, dtype=wide, device=Q.device)
        for i in range(0, queries, _TILE):
            q = Q[:, i : i + _TILE].to(wide)
            row_max = torch.full(q.shape[:2], -math.inf, dtype=wide, device=Q.device)
            row_sum = torch.zeros_like(row_max)
            output = torch.zeros_like(q)
            for j in range(0, min(K.shape[1], i + _TILE) if is_causal else K.shape[1], _TILE):
                scores = _scores(q, K[:, j : j + _TILE].to(wide), i, j, is_causal)
                new_max = torch.maximum(row_max, scores.amax(-1))
                weights = torch.exp(scores - new_max.unsqueeze(-1))
                shrink = torch.exp(row_max - new_max)
                row_sum = row_sum * shrink + weights.sum(-1)
                output = output * shrink.unsqueeze(-1) + weights @ V[:, j : j + _TILE].to(wide)
                row_max = new_max
            O[:, i : i + _TILE] = (output / row_sum.unsqueeze(-1)).to(O.dtype)
            L[:, i : i + _TILE] = row_max + row_sum.log()
        ctx.save_for_backward(Q, K, V, O, L)
        ctx.is_causal = is_causal
        return O

    @staticmethod
    def backward(ctx, dO: Float[Tensor, "batch queries d"]) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return dQ, dK and dV from dO and the saved tensors: recompute P from S and L, without another softmax."""
        Q, K, V, O, L = ctx.saved_tensors
        wide = L.dtype
        scale = 1 / math.sqrt(Q.shape[-1])
        D = (dO.to(wide) * O.to(wide)).sum(-1)
        dQ, dK, dV = (torch.zeros_like(x, dtype=wide) for x in (Q, K, V))
        for j in range(0, K.shape[1], _TILE):
            keys = slice(j, j + _TILE)
            k, v = K[:, keys].to(wide), V[:, keys].to(wide)
            for i in range(j if ctx.is_causal else 0, Q.shape[1], _TILE):
                rows = slice(i, i + _TILE)
                q, do = Q[:, rows].to(wide), dO[:, rows].to(wide)
                weights = torch.exp(_scores(q, k, i, j, ctx.is_causal) - L[:, rows].unsqueeze(-1))
                d_scores = weights * (do @ v.mT - D[:, rows].unsqueeze(-1))
                dV[:, keys] += weights.mT @ do
                dK[:, keys] += d_scores.mT @ q * scale
                dQ[:, rows] += d_scores @ k * scale
        return dQ.to(Q.dtype), dK.to(K.dtype), dV.to(V.dtype), None


def _scores(q: Tensor, k: Tensor, first_query: int, first_key: int, is_causal: bool) -> Tensor:
    """A tile of S, minus infinity where a query may not see a key."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if not is_causal:
        return scores
    query = first_query + torch.arange(q.shape[1], device=q.device)
    key = first_key + torch.arange(k.shape[1], device=q.device)
    return scores.masked_fill(key > query.unsqueeze(-1), -math.inf)


class FlashAttentionTriton(torch.autograd.Function):
    """FlashAttention-2 in Triton: what `FlashAttentionPyTorch` computes, in your own kernels.

    It has the same functions with the same contract: `FlashAttentionTriton.apply(Q, K, V, is_causal)` returns O, and
    saves L once. One program of the grid takes a tile of queries of one sequence. Keep sums in float32. The backward
    pass may use Triton or PyTorch.

    Problem: flash_attention_triton
    """

    @staticmethod
    def forward(
        ctx,
        Q: Float[Tensor, "batch queries d"],
        K: Float[Tensor, "batch keys d"],
        V: Float[Tensor, "batch keys d"],
        is_causal: bool = False,
    ) -> Float[Tensor, "batch queries d"]:
        """Return O in the dtype of Q, and save what the backward pass needs, with L: see `FlashAttentionPyTorch`."""
        from ._triton_kernels import attention_forward

        Q, K, V = Q.contiguous(), K.contiguous(), V.contiguous()
        batch, queries, d = Q.shape
        O = torch.empty_like(Q)
        L = torch.empty(batch, queries, dtype=torch.promote_types(Q.dtype, torch.float32), device=Q.device)
        ctx.sizes = queries, K.shape[1], 1 / math.sqrt(d), is_causal, d, *_blocks(d), _accumulator(Q)
        attention_forward[(_tiles(queries), batch)](Q, K, V, O, L, *ctx.sizes)
        ctx.save_for_backward(Q, K, V, O, L)
        return O

    @staticmethod
    def backward(ctx, dO: Float[Tensor, "batch queries d"]) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return dQ, dK and dV from dO and the saved tensors: recompute P from S and L, without another softmax."""
        from ._triton_kernels import attention_backward_keys, attention_backward_queries

        Q, K, V, O, L = ctx.saved_tensors
        dO = dO.contiguous()
        D = (dO.to(L.dtype) * O.to(L.dtype)).sum(-1)
        dQ, dK, dV = torch.empty_like(Q), torch.empty_like(K), torch.empty_like(V)
        batch, queries, _ = Q.shape
        attention_backward_queries[(_tiles(queries), batch)](Q, K, V, dO, L, D, dQ, *ctx.sizes)
        attention_backward_keys[(_tiles(K.shape[1]), batch)](Q, K, V, dO, L, D, dK, dV, *ctx.sizes)
        return dQ, dK, dV, None


class FusedRMSNorm(torch.autograd.Function):
    """RMSNorm in Triton, one kernel each for forward and backward:

        y_i = x_i / sqrt(mean_j(x_j^2) + eps) * gain_i

    over the last dimension of `x`, which may have any number of leading dimensions. `FusedRMSNorm.apply(x, weight)`
    returns y. A kernel reads every value of x once and writes every value of y once. Keep sums in float32.

    Problem: fused_rmsnorm
    """

    @staticmethod
    def forward(
        ctx, x: Float[Tensor, " ... d_model"], weight: Float[Tensor, " d_model"], eps: float = 1e-5
    ) -> Float[Tensor, " ... d_model"]:
        """Return y with the shape and dtype of x; d_model need not be a power of two."""
        from ._triton_kernels import rmsnorm_forward

        x = x.contiguous()
        columns = x.shape[-1]
        y = torch.empty_like(x)
        inverse_rms = torch.empty(x.shape[:-1], dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
        ctx.block = _power_of_two(columns)
        if x.numel():
            rmsnorm_forward[(inverse_rms.numel(),)](x, weight, y, inverse_rms, columns, eps, ctx.block, _accumulator(x))
        ctx.save_for_backward(x, weight, inverse_rms)
        return y

    @staticmethod
    def backward(ctx, dy: Float[Tensor, " ... d_model"]) -> tuple[Tensor, Tensor, None]:
        """Return dx, in the shape of x, and the gradient of `weight`, summed over all leading dimensions."""
        from ._triton_kernels import rmsnorm_backward

        x, weight, inverse_rms = ctx.saved_tensors
        rows, columns = inverse_rms.numel(), x.shape[-1]
        dx = torch.empty_like(x)
        partial = torch.empty(_tiles(rows), columns, dtype=inverse_rms.dtype, device=x.device)
        if rows:
            rmsnorm_backward[(_tiles(rows),)](
                x, weight, inverse_rms, dy.contiguous(), dx, partial, rows, columns, ctx.block, _TILE, _accumulator(x)
            )
        return dx, partial.sum(0).to(weight.dtype), None


def _tiles(length: int) -> int:
    return -(-length // _TILE)


def _power_of_two(columns: int) -> int:
    """The least power of two that holds so many columns."""
    return 1 << max(columns - 1, 0).bit_length()


def _blocks(d: int) -> tuple[int, int]:
    """Columns and rows of a tile; the sides of a matrix product are at least 16."""
    return max(16, _power_of_two(d)), _TILE


def _accumulator(x: Tensor):
    """The type in which a kernel adds up."""
    import triton.language as tl

    return tl.float64 if x.dtype is torch.float64 else tl.float32
