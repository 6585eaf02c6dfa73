"""Kernels (optional): attention and RMSNorm as autograd functions that never write their intermediates to memory.

Triton's interpreter runs kernels without a GPU: the tests set TRITON_INTERPRET=1, and tensors then stay on the CPU. You
can print and set breakpoints in a kernel. The interpreter is slow, so keep tensors small, and it cannot compute with
bfloat16. `tl.make_block_ptr` exists only up to Triton 3.8; pointers with masks and `tl.make_tensor_descriptor` work in
every version.
"""

import torch
from jaxtyping import Float
from torch import Tensor


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
        raise NotImplementedError(
            "flash_attention_pytorch: write FlashAttentionPyTorch.forward in cs336_basics/kernels.py"
        )

    @staticmethod
    def backward(ctx, dO: Float[Tensor, "batch queries d"]) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return dQ, dK and dV from dO and the saved tensors: recompute P from S and L, without another softmax."""
        raise NotImplementedError(
            "flash_attention_pytorch: write FlashAttentionPyTorch.backward in cs336_basics/kernels.py"
        )


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
        raise NotImplementedError(
            "flash_attention_triton: write FlashAttentionTriton.forward in cs336_basics/kernels.py"
        )

    @staticmethod
    def backward(ctx, dO: Float[Tensor, "batch queries d"]) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return dQ, dK and dV from dO and the saved tensors: recompute P from S and L, without another softmax."""
        raise NotImplementedError(
            "flash_attention_triton: write FlashAttentionTriton.backward in cs336_basics/kernels.py"
        )


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
        raise NotImplementedError("fused_rmsnorm: write FusedRMSNorm.forward in cs336_basics/kernels.py")

    @staticmethod
    def backward(ctx, dy: Float[Tensor, " ... d_model"]) -> tuple[Tensor, Tensor, None]:
        """Return dx, in the shape of x, and the gradient of `weight`, summed over all leading dimensions."""
        raise NotImplementedError("fused_rmsnorm: write FusedRMSNorm.backward in cs336_basics/kernels.py")
