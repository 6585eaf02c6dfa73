"""What kernels compute, by the formula that they are about: attention and RMSNorm in a few lines, with autograd.

The reference's own kernels need seconds in Triton's interpreter for what this gives at once, and an answer that does
not come from the code that it judges is worth more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_EPS = 1e-5


def by_formula(operation: str, inputs: dict[str, Any]) -> Any | None:
    """What an operation on a kernel gives, in the inputs' dtype; None for any other operation.

    Args:
        inputs: as the drivers take them (`worker/drivers/kernels.py`); the factory makes no difference.
    """
    compute = _FORMULAS.get(operation)
    return compute(**{name: value for name, value in inputs.items() if name != "factory"}) if compute else None


def _attention_output(Q: Tensor, K: Tensor, V: Tensor, is_causal: bool) -> Tensor:
    return _scores(Q, K, is_causal).softmax(-1) @ V


def _attention_log_sum_exp(Q: Tensor, K: Tensor, V: Tensor, is_causal: bool) -> Tensor:
    return _scores(Q, K, is_causal).logsumexp(-1)


def _attention_gradients(Q: Tensor, K: Tensor, V: Tensor, is_causal: bool, cotangent: Tensor) -> dict[str, Tensor]:
    Q, K, V = (x.detach().requires_grad_() for x in (Q, K, V))
    return _gradients(_attention_output(Q, K, V, is_causal), cotangent, {"dQ": Q, "dK": K, "dV": V})


def _scores(Q: Tensor, K: Tensor, is_causal: bool) -> Tensor:
    """Q K^T / sqrt(d), minus infinity where query i would see a key after the i-th."""
    scores = Q @ K.mT / math.sqrt(Q.shape[-1])
    if not is_causal:
        return scores
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(hidden, -math.inf)


def _rmsnorm_output(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + _EPS).sqrt() * weight


def _rmsnorm_gradients(x: Tensor, weight: Tensor, cotangent: Tensor) -> dict[str, Tensor]:
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    return _gradients(_rmsnorm_output(x, weight), cotangent, {"dx": x, "dweight": weight})


def _gradients(output: Tensor, cotangent: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad((output * cotangent).sum(), list(leaves.values()))
    return dict(zip(leaves, found, strict=True))


_FORMULAS: dict[str, Callable[..., Any]] = {
    "attention_output": _attention_output,
    "attention_log_sum_exp": _attention_log_sum_exp,
    "attention_gradients": _attention_gradients,
    "fused_rmsnorm_output": _rmsnorm_output,
    "fused_rmsnorm_gradients": _rmsnorm_gradients,
}
