"""RMSNorm in Triton, written in other ways."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from grader.misconceptions.catalogue import Variant
from grader.misconceptions.fused_rmsnorm import RIGHT


class _Fast(torch.autograd.Function):
    """The kernels of `grader/kernels`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        from grader.kernels.rmsnorm import rmsnorm

        with torch.enable_grad():
            leaves = x, gain = x.detach().requires_grad_(), weight.detach().requires_grad_()
            output = rmsnorm(x, gain, 1e-5)
        ctx.graph = output, leaves
        return output.detach()

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        output, leaves = ctx.graph
        return torch.autograd.grad(output, leaves, dy)


def _variant(name: str, function: type[torch.autograd.Function]) -> Variant:
    return Variant(f"fused-rmsnorm-{name}", "fused_rmsnorm", {"kernels.FusedRMSNorm": function})


VARIANTS = (_variant("fast-kernels", _Fast), _variant("other-steps", RIGHT.function()))
