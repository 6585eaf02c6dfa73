"""Rotary position embedding, interleaved pairs, in place or not (Su et al. 2021, arXiv:2104.09864, § 3.4.2).

    [y_2i  ]   [cos  -sin] [x_2i  ]
    [y_2i+1] = [sin   cos] [x_2i+1],     angle = position · theta^(-2i / head_dim)

Moves 2 · numel · itemsize bytes at 3 FLOPs per element; the time is the bytes'. The gradient is the rotation
back, so the backward pass is the same kernel with the sines negated.

Cosines and sines come from float32 tables that are computed in float64: at position 100,000 a float32 angle
is already wrong by 0.004. Loading 8 bytes of table for each pair of 4 bytes in bf16 would cost more than the
pair itself, so a program keeps its tokens' part of the tables in registers and walks over up to eight heads
with it. Its tile is 2,048 elements, 16 tokens of 128: two 16-byte loads per thread in bf16, four in float32.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE_ELEMENTS = 2_048
HEADS_PER_PROGRAM = 8
STAGES = tl.constexpr(3)  # one head at work, copies of two more into shared memory under way
NUM_WARPS = 4


@triton.jit
def _rotate(
    x_ptr, y_ptr, cos_ptr, sin_ptr, position_ptr, heads, tokens,
    x_batch_stride, x_head_stride, x_token_stride, y_batch_stride, y_head_stride, y_token_stride,
    position_batch_stride, position_token_stride,
    HAS_POSITIONS: tl.constexpr, INVERSE: tl.constexpr, HALF: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr, BLOCK_HALF: tl.constexpr, HEADS_PER_PROGRAM: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0) * BLOCK_TOKENS + tl.arange(0, BLOCK_TOKENS)[:, None]
    batch = tl.program_id(2).to(tl.int64)
    pair = tl.arange(0, BLOCK_HALF)[None, :]
    inside = (token < tokens) & (pair < HALF)

    if HAS_POSITIONS:
        position_ptr += batch * position_batch_stride
        position = tl.load(position_ptr + token * position_token_stride, mask=token < tokens, other=0)
    else:
        position = token
    cos = tl.load(cos_ptr + position * HALF + pair, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + position * HALF + pair, mask=inside, other=0.0)
    if INVERSE:
        sin = -sin

    # Whole rows are loaded and stored; even and odd columns part in registers, so that memory sees no gaps.
    column = tl.arange(0, 2 * BLOCK_HALF)[None, :]
    inside = (token < tokens) & (column < 2 * HALF)
    first_head = tl.program_id(1) * HEADS_PER_PROGRAM
    x_ptr += batch * x_batch_stride + first_head.to(tl.int64) * x_head_stride
    y_ptr += batch * y_batch_stride + first_head.to(tl.int64) * y_head_stride
    x_tile = x_ptr + token.to(tl.int64) * x_token_stride + column
    y_tile = y_ptr + token.to(tl.int64) * y_token_stride + column
    for _ in tl.range(first_head, tl.minimum(first_head + HEADS_PER_PROGRAM, heads), num_stages=STAGES):
        x = tl.load(x_tile, mask=inside, other=0.0).to(tl.float32)
        even, odd = tl.split(tl.reshape(x, [BLOCK_TOKENS, BLOCK_HALF, 2]))
        y = tl.join(even * cos - odd * sin, even * sin + odd * cos)
        y = tl.reshape(y, [BLOCK_TOKENS, 2 * BLOCK_HALF])
        tl.store(y_tile, y, mask=inside)
        x_tile += x_head_stride
        y_tile += y_head_stride


def _launch(x: Tensor, y: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None, inverse: bool) -> None:
    batch, heads, tokens, head_dim = x.shape
    block_half = triton.next_power_of_2(head_dim // 2)
    block_tokens = max(1, min(TILE_ELEMENTS // (2 * block_half), triton.next_power_of_2(tokens)))
    heads_per_program = min(HEADS_PER_PROGRAM, heads)
    position_strides = (0, 0) if positions is None else positions.expand(batch, tokens).stride()
    grid = (triton.cdiv(tokens, block_tokens), triton.cdiv(heads, heads_per_program), batch)
    _rotate[grid](
        x, y, cos, sin, cos if positions is None else positions, heads, tokens,
        *x.stride()[:3], *y.stride()[:3], *position_strides,
        positions is not None, inverse, head_dim // 2, block_tokens, block_half, heads_per_program,
        num_warps=NUM_WARPS,
    )  # fmt: skip


class _RoPE(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None, in_place: bool) -> Tensor:
        ctx.save_for_backward(cos, sin, positions)
        if in_place:
            ctx.mark_dirty(x)
        y = x if in_place else torch.empty_like(x)
        _launch(x, y, cos, sin, positions, inverse=False)
        return y

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, None, None, None, None]:
        cos, sin, positions = ctx.saved_tensors
        dy = dy if dy.stride(-1) == 1 else dy.contiguous()
        dx = torch.empty_like(dy)
        _launch(dy, dx, cos, sin, positions, inverse=True)
        return dx, None, None, None, None


def rope_tables(
    head_dim: int, max_positions: int, theta: float = 10_000.0, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of position · theta^(-2i / head_dim): two tensors [max_positions, head_dim / 2].

    They are float32; the angles are float64 until their cosines and sines are taken.
    """
    frequencies = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = torch.outer(torch.arange(max_positions, dtype=torch.float64), frequencies)
    return angles.cos().float().to(device), angles.sin().float().to(device)


def rope(x: Tensor, cos: Tensor, sin: Tensor, *, positions: Tensor | None = None, in_place: bool = False) -> Tensor:
    """Rotate each pair (x[..., 2i], x[..., 2i + 1]) by its position's angle, differentiable in x.

    Args:
        x: [batch, heads, tokens, head_dim] in float32, bf16 or fp16, head_dim even. Any strides with adjacent
            columns are read where they lie, a transposed [batch, tokens, heads, head_dim] for one.
        cos, sin: the tables [max_positions, head_dim / 2] of `rope_tables`, on x's device.
        positions: [tokens] or [batch, tokens], integers in [0, max_positions), which are not checked;
            0, 1, 2, ... where None.
        in_place: overwrite `x` and return it. Autograd knows, as for any in-place operation.

    Returns:
        [batch, heads, tokens, head_dim] in x's dtype and memory layout. All arithmetic is in float32.

    Raises:
        ValueError: head_dim is odd or does not fit the tables, there are fewer table rows than tokens and no
            positions, or `in_place` is asked for a layout without adjacent columns.

    Moves 2 · numel · itemsize bytes.
    """
    tokens, head_dim = x.shape[-2:]
    if head_dim % 2 or cos.shape != sin.shape or cos.shape[-1] != head_dim // 2:
        raise ValueError(
            f"rope needs an even head dimension and tables with half as many columns, but got {head_dim} "
            f"and tables of shapes {tuple(cos.shape)} and {tuple(sin.shape)}."
        )
    if positions is None and cos.shape[0] < tokens:
        raise ValueError(f"rope's tables hold {cos.shape[0]} positions, too few for {tokens} tokens.")
    if x.stride(-1) != 1:
        if in_place:
            raise ValueError("rope in place needs adjacent columns (a last stride of 1); pass x.contiguous().")
        x = x.contiguous()
    return _RoPE.apply(x, cos.contiguous(), sin.contiguous(), positions, in_place) if x.numel() else x
