"""How FlashAttention in Triton goes wrong: as in PyTorch, and by not being a kernel at all.

What the bugs change are values, and those do not tell in which language a kernel was written: the variants are tiles of
PyTorch behind a kernel that does nothing.
"""

from __future__ import annotations

from typing import Any

import torch

from .catalogue import Misconception
from .flash_attention_pytorch import RIGHT, flash_misconceptions

_REPLACED = "kernels.FlashAttentionTriton"


def _launching(function: type[torch.autograd.Function]) -> type[torch.autograd.Function]:
    """The same function, with the launch of a kernel on its way forward."""

    class Launching(function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, Q: Any, K: Any, V: Any, is_causal: bool = False) -> Any:
            from grader.reference._triton_kernels import attention_forward
            from grader.reference.kernels import FlashAttentionTriton  # noqa: F401

            nothing = torch.empty(0)
            attention_forward[(1, 1)](*[nothing] * 5, 0, 0, 1.0, False, 16, 16, 16, _float32())
            return function.forward(ctx, Q, K, V, is_causal)

    return Launching


def _float32() -> Any:
    import triton.language as tl

    return tl.float32


MISCONCEPTIONS = (
    *(
        Misconception(
            bug.id,
            bug.problem,
            {_REPLACED: _launching(bug.replaces[_REPLACED])},
            bug.diagnosis,
            bug.hint,
            bug.frequency,
        )
        for bug in flash_misconceptions("flash_attention_triton", "flash-attention-triton", _REPLACED)
    ),
    Misconception(
        "flash-attention-triton-no-kernel",
        "flash_attention_triton",
        {_REPLACED: RIGHT.function()},
        "The function computes attention with PyTorch alone; no Triton kernel runs.",
        "Which line of the forward pass launches a kernel, as in `kernel[grid](...)`?",
        "common",
    ),
)
