"""Kernels (optional): attention and RMSNorm as autograd functions that never write their intermediates to memory.

Triton's kernels run without a GPU, too, in its interpreter: the tests set TRITON_INTERPRET=1, and tensors then stay on
the CPU. Print in a kernel, set breakpoints; it is slow, so keep tensors small. `tl.make_block_ptr` exists up to Triton
3.8 only; pointers with masks, and `tl.make_tensor_descriptor`, work in every version. The interpreter cannot compute
with bfloat16.
"""

import torch
from jaxtyping import Float
from torch import Tensor


class FlashAttentionPyTorch(torch.autograd.Function):
    """FlashAttention-2 in PyTorch, tile by tile (Dao, 2023, algorithms 1 and 2):

        S = Q K^T / sqrt(d)        P = softmax(S)        O = P V        L_i = log sum_j e^(S_ij)

    What a GPU would do in its fast memory is done here with slices of tensors, so that the algorithm can be seen and
    tested: no tensor as large as the whole of S or P may come into being on the way forward. `FlashAttentionPyTorch.
    apply(Q, K, V, is_causal)` gives O.

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
        """Give O in the dtype of Q, and save what the way back needs, L among it.

        L is saved through `ctx.save_for_backward`, once: of the saved tensors exactly one has the shape [batch,
        queries]. It is the natural logarithm, in float32 (float64 for float64 inputs). With `is_causal`, query i sees
        the keys 0 to i only. Numbers of queries and keys may differ; they and d need not be powers of two or
        multiples of a tile.
        """
        raise NotImplementedError(
            "flash_attention_pytorch: write FlashAttentionPyTorch.forward in cs336_basics/kernels.py"
        )

    @staticmethod
    def backward(ctx, dO: Float[Tensor, "batch queries d"]) -> tuple[Tensor, Tensor, Tensor, None]:
        """Give dQ, dK and dV, from dO and what was saved: P comes back from S and L, without another softmax."""
        raise NotImplementedError(
            "flash_attention_pytorch: write FlashAttentionPyTorch.backward in cs336_basics/kernels.py"
        )


class FlashAttentionTriton(torch.autograd.Function):
    """FlashAttention-2 in Triton: what `FlashAttentionPyTorch` computes, in kernels of your own.

    The same functions with the same contract: `FlashAttentionTriton.apply(Q, K, V, is_causal)` gives O, and L is saved
    once. One program of the grid takes a tile of queries of one sequence; sums are kept in float32. The backward pass
    may be Triton as well or PyTorch.

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
        """Give O in the dtype of Q, and save what the way back needs, L among it: see `FlashAttentionPyTorch`."""
        raise NotImplementedError(
            "flash_attention_triton: write FlashAttentionTriton.forward in cs336_basics/kernels.py"
        )

    @staticmethod
    def backward(ctx, dO: Float[Tensor, "batch queries d"]) -> tuple[Tensor, Tensor, Tensor, None]:
        """Give dQ, dK and dV, from dO and what was saved: P comes back from S and L, without another softmax."""
        raise NotImplementedError(
            "flash_attention_triton: write FlashAttentionTriton.backward in cs336_basics/kernels.py"
        )


class FusedRMSNorm(torch.autograd.Function):
    """RMSNorm in Triton, forward and backward in one kernel each:

        y_i = x_i / sqrt(mean_j(x_j^2) + eps) * gain_i

    over the last dimension of `x`, which may have any number of leading dimensions. `FusedRMSNorm.apply(x, weight)`
    gives y. A kernel reads every value of x once and writes every value of y once; sums are kept in float32.

    Problem: fused_rmsnorm
    """

    @staticmethod
    def forward(
        ctx, x: Float[Tensor, " ... d_model"], weight: Float[Tensor, " d_model"], eps: float = 1e-5
    ) -> Float[Tensor, " ... d_model"]:
        """Give y with the shape and dtype of x; d_model need not be a power of two."""
        raise NotImplementedError("fused_rmsnorm: write FusedRMSNorm.forward in cs336_basics/kernels.py")

    @staticmethod
    def backward(ctx, dy: Float[Tensor, " ... d_model"]) -> tuple[Tensor, Tensor, None]:
        """Give dx, in the shape of x, and the gradient of `weight`, summed over all leading dimensions."""
        raise NotImplementedError("fused_rmsnorm: write FusedRMSNorm.backward in cs336_basics/kernels.py")
