"""AdamW for all tensors of a model in one launch (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2).

    m ← β₁ m + (1 - β₁) g          v ← β₂ v + (1 - β₂) g²
    p ← p - lr λ p - lr (m / (1 - β₁ᵗ)) / (sqrt(v / (1 - β₂ᵗ)) + eps)

In float32 it reads p, g, m, v and writes p, m, v: 28 bytes per parameter, at about 15 FLOPs; the time is the
bytes'.

A model has hundreds of tensors, most of them too small to fill a GPU. So a program takes one block of 2,048
elements (8 per thread: two 16-byte loads of each of the four float32 streams), and two tables on the device
tell it which tensor, which block of it, and where that tensor's parts are. The tables are rebuilt only when
an address changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from .rows import VECTOR_BYTES

BLOCK = 2_048
NUM_WARPS = 8

TRITON_TYPE = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


@triton.jit
def _update(
    p_ptr, g_ptr, m_ptr, v_ptr, length, lr, beta1, beta2, eps, decay, correction1, root_correction2,
    MASKED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.arange(0, BLOCK)
    inside = at < length if MASKED else None
    p = tl.load(p_ptr + at, mask=inside).to(tl.float32)
    g = tl.load(g_ptr + at, mask=inside).to(tl.float32)
    m = tl.load(m_ptr + at, mask=inside).to(tl.float32)
    v = tl.load(v_ptr + at, mask=inside).to(tl.float32)

    m += (1.0 - beta1) * (g - m)
    v += (1.0 - beta2) * (g * g - v)
    p -= decay * p
    p -= (lr / correction1) * m / (tl.sqrt(v) / root_correction2 + eps)

    tl.store(p_ptr + at, p, mask=inside)
    tl.store(m_ptr + at, m, mask=inside)
    tl.store(v_ptr + at, v, mask=inside)


@triton.jit
def _adamw(
    block_ptr, tensor_ptr, lr, beta1, beta2, eps, decay, correction1, root_correction2,
    PARAMETER: tl.constexpr, GRADIENT: tl.constexpr, STATE: tl.constexpr, ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    block_ptr += 2 * tl.program_id(0)
    tensor_ptr += 5 * tl.load(block_ptr)
    start = tl.load(block_ptr + 1).to(tl.int64) * BLOCK
    length = tl.load(tensor_ptr) - start
    p_ptr = tl.load(tensor_ptr + 1).to(tl.pointer_type(PARAMETER)) + start
    g_ptr = tl.load(tensor_ptr + 2).to(tl.pointer_type(GRADIENT)) + start
    m_ptr = tl.load(tensor_ptr + 3).to(tl.pointer_type(STATE)) + start
    v_ptr = tl.load(tensor_ptr + 4).to(tl.pointer_type(STATE)) + start
    if ALIGNED:  # known of a pointer argument, but not of a loaded one; it allows 16-byte accesses
        p_ptr = tl.multiple_of(p_ptr, 16)
        g_ptr = tl.multiple_of(g_ptr, 16)
        m_ptr = tl.multiple_of(m_ptr, 16)
        v_ptr = tl.multiple_of(v_ptr, 16)

    # A mask by a loaded length would forbid these too, so only a tensor's last block has one.
    if length >= BLOCK:
        _update(
            p_ptr, g_ptr, m_ptr, v_ptr, length, lr, beta1, beta2, eps, decay, correction1, root_correction2,
            False, BLOCK,
        )  # fmt: skip
    else:
        _update(
            p_ptr, g_ptr, m_ptr, v_ptr, length, lr, beta1, beta2, eps, decay, correction1, root_correction2,
            True, BLOCK,
        )  # fmt: skip


@lru_cache(maxsize=16)
def _block_table(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """[blocks, 2] int32: the tensor that each program works on, and the number of its block in it."""
    blocks = torch.tensor([triton.cdiv(size, BLOCK) for size in sizes])
    tensor = torch.repeat_interleave(torch.arange(len(sizes)), blocks)
    first_block = torch.repeat_interleave(blocks.cumsum(0) - blocks, blocks)
    block = torch.arange(len(tensor)) - first_block
    return torch.stack([tensor, block], dim=1).to(device, torch.int32)


@lru_cache(maxsize=16)
def _tensor_table(sizes: tuple[int, ...], addresses: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
    """[tensors, 5] int64: number of elements, then the addresses of parameter, gradient, m and v."""
    return torch.tensor([(size, *four) for size, four in zip(sizes, addresses, strict=True)]).to(device)


def _require_one_layout(kind: str, tensors: Sequence[Tensor], params: Sequence[Tensor]) -> None:
    for number, (tensor, p) in enumerate(zip(tensors, params, strict=True)):
        if tensor.shape != p.shape or tensor.device != params[0].device or not tensor.is_contiguous():
            raise ValueError(
                "adamw_step needs contiguous tensors of their parameters' shapes on one device, but "
                f"{kind} {number} has shape {tuple(tensor.shape)} and strides {tensor.stride()} on "
                f"{tensor.device}, its parameter {tuple(p.shape)}, and parameter 0 is on {params[0].device}."
            )
        if tensor.dtype != tensors[0].dtype or tensor.dtype not in TRITON_TYPE:
            raise ValueError(
                f"adamw_step needs each kind of tensor in one of float32, bf16 and fp16, but {kind} {number} "
                f"is {tensor.dtype} and {kind} 0 is {tensors[0].dtype}."
            )


@torch.no_grad()
def adamw_step(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    first_moments: Sequence[Tensor],
    second_moments: Sequence[Tensor],
    *,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> None:
    """Take one AdamW step for all parameters, in place, in one kernel launch.

    As in PyTorch's AdamW, the decay precedes the gradient step and `eps` is added after the bias correction.

    Args:
        params: parameters of any shapes, contiguous, all on one device, all float32, bf16 or fp16.
        grads: their gradients, of the same shapes, all of one dtype.
        first_moments, second_moments: m and v of the same shapes, zero before the first step, both of one
            dtype; float32 is advised: a bf16 v forgets updates smaller than 1/256 of it.
        step: the number of this step, from 1.
        lr, betas, eps, weight_decay: as in the formula; λ is `weight_decay`.

    Raises:
        ValueError: the lists differ in length, or tensors in layout, dtype or device in a way that one launch
            cannot serve.

    Moves 28 bytes per parameter if all is float32, 22 with bf16 parameters and gradients.
    """
    if not params:
        return
    _require_one_layout("parameter", params, params)
    _require_one_layout("gradient", grads, params)
    _require_one_layout("first moment", first_moments, params)
    _require_one_layout("second moment", second_moments, params)
    if first_moments[0].dtype != second_moments[0].dtype:
        raise ValueError(
            "adamw_step needs both moments in one dtype, "
            f"but got {first_moments[0].dtype} and {second_moments[0].dtype}."
        )

    device = params[0].device
    sizes = tuple(p.numel() for p in params)
    addresses = tuple(
        tuple(tensor.data_ptr() for tensor in tensors)
        for tensors in zip(params, grads, first_moments, second_moments, strict=True)
    )
    blocks = _block_table(sizes, device)
    if len(blocks) == 0:
        return
    _adamw[(len(blocks),)](
        blocks, _tensor_table(sizes, addresses, device),
        lr, *betas, eps, lr * weight_decay, 1.0 - betas[0] ** step, (1.0 - betas[1] ** step) ** 0.5,
        TRITON_TYPE[params[0].dtype], TRITON_TYPE[grads[0].dtype], TRITON_TYPE[first_moments[0].dtype],
        all(address % VECTOR_BYTES == 0 for four in addresses for address in four), BLOCK,
        num_warps=NUM_WARPS,
    )  # fmt: skip
