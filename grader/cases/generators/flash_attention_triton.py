"""Cases for FlashAttention in Triton: those of the function in PyTorch, asked of the other adapter."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, Draw
from .flash_attention_pytorch import attention_cases


def generate(draw: Draw) -> Iterator[Case]:
    yield from attention_cases(draw, "get_flashattention_autograd_function_triton")
