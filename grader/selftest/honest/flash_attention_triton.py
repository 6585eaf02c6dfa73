"""FlashAttention in Triton, written in other ways: the fast kernels, and a way back in PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from grader.misconceptions.catalogue import Variant
from grader.misconceptions.flash_attention_pytorch import RIGHT


class _Fast(torch.autograd.Function):
    """The kernels of `grader/kernels`, which take heads as well."""

    @staticmethod
    def forward(ctx: Any, Q: Tensor, K: Tensor, V: Tensor, is_causal: bool = False) -> Tensor:
        from grader.kernels.flash_attention import flash_attention

        assert Q.is_cuda, "code for a GPU often asserts so"
        with torch.enable_grad():
            leaves = [x.detach()[:, None].requires_grad_() for x in (Q, K, V)]
            output, lse = flash_attention(*leaves, causal=is_causal)
        ctx.save_for_backward(Q, K, V, lse[:, 0])
        ctx.graph = output, leaves
        return output[:, 0].detach()

    @staticmethod
    def backward(ctx: Any, dO: Tensor) -> tuple[Tensor | None, ...]:
        output, leaves = ctx.graph
        return *(gradient[:, 0] for gradient in torch.autograd.grad(output, leaves, dO[:, None])), None


class _PyTorchBackward(torch.autograd.Function):
    """A kernel forward, PyTorch backward, as the public assignment asks."""

    @staticmethod
    def forward(ctx: Any, Q: Tensor, K: Tensor, V: Tensor, is_causal: bool = False) -> Tensor:
        from grader.kernels.flash_attention import flash_attention

        output, lse = flash_attention(Q[:, None], K[:, None], V[:, None], causal=is_causal)
        ctx.save_for_backward(lse[:, 0], Q, K, V, output[:, 0])
        ctx.is_causal = is_causal
        return output[:, 0]

    @staticmethod
    def backward(ctx: Any, dO: Tensor) -> tuple[Tensor | None, ...]:
        lse, *rest = ctx.saved_tensors
        q, k, v, output = (x.float() for x in rest)
        gradients = RIGHT.backward(dO.float(), q, k, v, output, lse, ctx.is_causal)
        return *(gradient.to(dO.dtype) for gradient in gradients), None


def _variant(name: str, function: type[torch.autograd.Function]) -> Variant:
    replaced = {"kernels.FlashAttentionTriton": function}
    return Variant(f"flash-attention-triton-{name}", "flash_attention_triton", replaced)


VARIANTS = (_variant("fast-kernels", _Fast), _variant("backward-in-pytorch", _PyTorchBackward))
