"""How RMSNorm in Triton goes wrong. As in `flash_attention_triton.py`, variants compute in PyTorch, behind a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .catalogue import Misconception

EPS = 1e-5


def _launch() -> None:
    import triton.language as tl

    from grader.reference._triton_kernels import rmsnorm_forward

    x = torch.zeros(1)
    rmsnorm_forward[(1,)](x, x, torch.empty(1), torch.empty(1), 1, EPS, 1, tl.float32)


def _mean_square(x: Tensor) -> Tensor:
    return x.square().mean(-1, keepdim=True)


def _input_gradient(normed: Tensor, dnormed: Tensor, r: Tensor) -> Tensor:
    return r * (dnormed - normed * (dnormed * normed).mean(-1, keepdim=True))


def _gain_gradient(dy: Tensor, normed: Tensor) -> Tensor:
    return (dy * normed).reshape(-1, dy.shape[-1]).sum(0)


@dataclass(frozen=True)
class Norm:
    """RMSNorm, forward and backward, with every step open to replacement."""

    mean_square: Callable[[Tensor], Tensor] = _mean_square
    inverse: Callable[[Tensor], Tensor] = lambda mean: torch.rsqrt(mean + EPS)
    scaled: Callable[[Tensor, Tensor], Tensor] = torch.mul
    upstream: Callable[[Tensor, Tensor], Tensor] = torch.mul
    input_gradient: Callable[[Tensor, Tensor, Tensor], Tensor] = _input_gradient
    gain_gradient: Callable[[Tensor, Tensor], Tensor] = _gain_gradient
    keeps_precision: bool = True
    launches: bool = True
    launches_backward: bool = True

    def function(self) -> type[torch.autograd.Function]:
        """The autograd function that goes these steps."""
        steps = self

        class Function(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
                if steps.launches:
                    _launch()
                wide = torch.promote_types(x.dtype, torch.float32) if steps.keeps_precision else x.dtype
                r = steps.inverse(steps.mean_square(x.to(wide)))
                ctx.save_for_backward(x, weight, r)
                return steps.scaled(x.to(wide) * r, weight.to(wide)).to(x.dtype)

            @staticmethod
            def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
                if steps.launches and steps.launches_backward:
                    _launch()
                x, weight, r = ctx.saved_tensors
                normed, dy = x.to(r.dtype) * r, dy.to(r.dtype)
                dx = steps.input_gradient(normed, steps.upstream(dy, weight.to(r.dtype)), r)
                return dx.to(x.dtype), steps.gain_gradient(dy, normed).to(weight.dtype)

        return Function


RIGHT = Norm()


def _bug(name: str, frequency: str, diagnosis: str, hint: str, throughout: bool = False, **steps: Any) -> Misconception:
    replaced = {"kernels.FusedRMSNorm": replace(RIGHT, **steps).function()}
    return Misconception(
        f"fused-rmsnorm-{name}", "fused_rmsnorm", replaced, diagnosis, hint, frequency, throughout=throughout
    )


def _padded(columns: int) -> int:
    return 1 << (columns - 1).bit_length()


MISCONCEPTIONS = (
    _bug(
        "eps-left-out", "occasional",
        "eps is not added to the mean square.",
        "Try inputs around 0.003: is eps small compared with their squares?",
        inverse=lambda mean: torch.rsqrt(mean + 1e-38),
    ),
    _bug(
        "eps-outside-the-root", "occasional",
        "eps is added to the root mean square, not to the mean square under the root.",
        "Where is eps in the formula, under the root or outside it?",
        inverse=lambda mean: 1 / (mean.sqrt() + EPS),
    ),
    _bug(
        "mean-over-the-block", "common",
        "The sum of squares is divided by the block's width, a power of two, instead of by d_model.",
        "For d_model = 50, how many values does the kernel load, and how many are real?",
        mean_square=lambda x: x.square().sum(-1, keepdim=True) / _padded(x.shape[-1]),
    ),
    _bug(
        "first-block-only", "occasional",
        "Only the first 2048 features of a vector enter its mean square.",
        "What does your kernel do when d_model is larger than its block?",
        mean_square=lambda x: x[..., :2048].square().sum(-1, keepdim=True) / x.shape[-1],
    ),
    _bug(
        "sum-for-mean", "occasional",
        "Squares are summed and not averaged.",
        "What is the root mean square of a vector of ones?",
        mean_square=lambda x: x.square().sum(-1, keepdim=True),
        throughout=True,
    ),
    _bug(
        "mean-subtracted", "rare",
        "The mean is subtracted before squares are taken, as in LayerNorm.",
        "Add 10 to every input: what should happen to the output?",
        mean_square=lambda x: (x - x.mean(-1, keepdim=True)).square().mean(-1, keepdim=True),
        throughout=True,
    ),
    _bug(
        "gain-left-out", "occasional",
        "The output is not scaled by the gain.",
        "Double the gain: does the output double?",
        scaled=lambda normed, gain: normed,
    ),
    _bug(
        "root-not-differentiated", "common",
        "The gradient of the input treats the root mean square as a constant.",
        "Each output depends on every input of its vector. Which term of dx says so?",
        input_gradient=lambda normed, dnormed, r: r * dnormed,
    ),
    _bug(
        "gain-missing-in-input-gradient", "common",
        "The gradient of the input is computed from dy without the gain.",
        "The forward pass multiplies by the gain. Where does dx use it?",
        upstream=lambda dy, gain: dy,
    ),
    _bug(
        "sum-for-mean-in-gradient", "occasional",
        "The second term of dx sums over the features instead of averaging.",
        "Where does the 1/d_model of the mean square go when it is differentiated?",
        input_gradient=lambda normed, dnormed, r: r * (dnormed - normed * (dnormed * normed).sum(-1, keepdim=True)),
    ),
    _bug(
        "second-term-added", "rare",
        "The second term of dx is added instead of subtracted.",
        "dx should be orthogonal to x, apart from eps. Is it?",
        input_gradient=lambda normed, dnormed, r: r * (dnormed + normed * (dnormed * normed).mean(-1, keepdim=True)),
    ),
    _bug(
        "gain-gradient-averaged", "occasional",
        "The gradient of the gain is averaged over the vectors instead of summed.",
        "Give the same vector twice: what happens to the gradient of the gain?",
        gain_gradient=lambda dy, normed: _gain_gradient(dy, normed) / (dy.numel() // dy.shape[-1]),
    ),
    _bug(
        "gain-gradient-of-last-vector", "occasional",
        "The gradient of the gain is that of the last vector only: programs overwrite each other's part.",
        "How many programs write to the gradient of the gain, and how are their parts put together?",
        gain_gradient=lambda dy, normed: (dy * normed).reshape(-1, dy.shape[-1])[-1],
    ),
    _bug(
        "gain-gradient-from-upstream", "occasional",
        "The gradient of the gain sums dy without the normalised input.",
        "What multiplies the gain in the forward pass?",
        gain_gradient=lambda dy, normed: dy.reshape(-1, dy.shape[-1]).sum(0),
    ),
    _bug(
        "squares-in-half-precision", "common",
        "Squares are taken in the dtype of the input, and overflow in float16.",
        "What is 600 squared in float16?",
        keeps_precision=False,
    ),
    _bug(
        "no-kernel", "occasional",
        "The function computes RMSNorm with PyTorch alone; no Triton kernel runs.",
        "Which line launches a kernel, as in `kernel[grid](...)`?",
        launches=False,
    ),
    _bug(
        "no-kernel-backward", "common",
        "The forward pass runs a kernel, but the backward pass is PyTorch.",
        "How many kernels does one training step launch?",
        launches_backward=False,
    ),
)  # fmt: skip
