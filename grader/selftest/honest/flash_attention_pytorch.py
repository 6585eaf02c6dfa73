"""FlashAttention in PyTorch, written in other ways."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from grader.misconceptions.catalogue import Variant
from grader.misconceptions.flash_attention_pytorch import RIGHT


def _forward_by_rows(Q: Tensor, K: Tensor, V: Tensor, is_causal: bool, tile: int) -> tuple[Tensor, Tensor]:
    """Tiles of keys only for a few queries at a time, in base 2, divided at every step as in FlashAttention-1."""
    outputs, sums = [], []
    for rows, q in enumerate(Q.split(tile, dim=1)):
        top = torch.full(q.shape[:2], -torch.inf)
        total, output = torch.zeros_like(top), torch.zeros_like(q)
        for columns, (k, v) in enumerate(zip(K.split(tile, dim=1), V.split(tile, dim=1), strict=True)):
            s = torch.einsum("bqd,bkd->bqk", q, k) * (math.log2(math.e) / math.sqrt(q.shape[-1]))
            if is_causal:
                i, j = (rows * tile + torch.arange(q.shape[1]), columns * tile + torch.arange(k.shape[1]))
                s = torch.where(i[:, None] >= j[None, :], s, -1e6)
            above = torch.maximum(top, s.max(dim=-1).values)
            p = torch.exp2(s - above[..., None])
            carried = total * torch.exp2(top - above)
            new = carried + p.sum(dim=-1)
            output = (output * carried[..., None] + p @ v) / new[..., None]
            top, total = above, new
        outputs.append(output)
        sums.append((top + torch.log2(total)) * math.log(2))
    return torch.cat(outputs, 1), torch.cat(sums, 1)


def _backward_whole(dO: Tensor, Q: Tensor, K: Tensor, V: Tensor, O: Tensor, L: Tensor, is_causal: bool):
    """The formulas on whole matrices, as the public assignment suggests for torch.compile."""
    scale = Q.shape[-1] ** -0.5
    S = Q @ K.transpose(1, 2) * scale
    if is_causal:
        S = S.masked_fill(~torch.ones(S.shape[-2:], dtype=torch.bool).tril(), -torch.inf)
    P = torch.exp(S - L[..., None])
    dP = dO @ V.transpose(1, 2)
    dS = P * (dP - (P * dP).sum(-1, keepdim=True))
    return dS @ K * scale, dS.transpose(1, 2) @ Q * scale, P.transpose(1, 2) @ dO


def _function(tile: int, whole_backward: bool, order: str = "QKVOL") -> type[torch.autograd.Function]:
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, Q: Tensor, K: Tensor, V: Tensor, is_causal: bool = False) -> Tensor:
            O, L = _forward_by_rows(Q.float(), K.float(), V.float(), is_causal, tile)
            O = O.to(Q.dtype)
            ctx.save_for_backward(*(dict(zip("QKVOL", (Q, K, V, O, L), strict=True))[name] for name in order))
            ctx.is_causal = is_causal
            return O

        @staticmethod
        def backward(ctx: Any, dO: Tensor) -> tuple[Tensor | None, ...]:
            saved = dict(zip(order, ctx.saved_tensors, strict=True))
            Q, K, V, O, L = (saved[name].float() for name in "QKVOL")
            backward = _backward_whole if whole_backward else RIGHT.backward
            gradients = backward(dO.float(), Q, K, V, O, L, ctx.is_causal)
            return *(gradient.to(dO.dtype) for gradient in gradients), None

    return Function


def _variant(name: str, function: type[torch.autograd.Function]) -> Variant:
    return Variant(f"flash-attention-{name}", "flash_attention_pytorch", {"kernels.FlashAttentionPyTorch": function})


VARIANTS = (
    _variant("other-steps", RIGHT.function()),
    _variant("small-tiles-in-base-2", _function(16, whole_backward=False)),
    _variant("large-tiles", _function(128, whole_backward=True)),
    _variant("whole-backward", _function(32, whole_backward=True)),
    _variant("saved-in-another-order", _function(32, whole_backward=True, order="LQKVO")),
)
