"""Where the kernels' tests run, and how near a kernel must come to float64."""

from __future__ import annotations

import torch
from torch import Tensor

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)

# The interpreter multiplies bf16 matrices wrongly without saying so.
MATRIX_DTYPES = DTYPES if DEVICE.type == "cuda" else (torch.float32, torch.float16)


def draw(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Normal values, the same for every dtype up to its rounding, as a leaf that wants a gradient."""
    values = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * scale
    return values.to(DEVICE, dtype).requires_grad_()


def in_float64(x: Tensor) -> Tensor:
    """The exact values of `x` as a leaf of its own."""
    return x.detach().double().requires_grad_(x.requires_grad)


def assert_near(
    actual: Tensor, truth: Tensor, *, roundings: float = 1.0, operations: float = 64.0, typical: float | None = None
) -> None:
    """Fail where `actual` is further from `truth` than its type and float32 arithmetic explain.

    An element may be off by `roundings` units of its own dtype (a whole one each, as the interpreter
    truncates) and by `operations` units of float32, both relative to the largest of the truth, its root mean
    square, and that of its row: an element that nearly cancels has the errors of what it was summed from, and
    under a causal mask the gradients of early keys are many times as large as those of late ones.

    typical: roundings by which all elements may be off together, in root mean square, where the worst of very
    many says little.
    """
    assert actual.shape == truth.shape
    unit = roundings * torch.finfo(actual.dtype).eps + operations * torch.finfo(torch.float32).eps
    squares = truth.detach().square()
    size = truth.detach().abs().clamp(min=squares.mean().sqrt().item())
    if truth.dim():
        size = torch.maximum(size, squares.mean(dim=-1, keepdim=True).sqrt())
    tiny = torch.finfo(actual.dtype).smallest_normal
    error = (actual.detach().double() - truth.detach()).abs()
    if typical is not None:
        together = typical * torch.finfo(actual.dtype).eps + operations * torch.finfo(torch.float32).eps
        relative = (error.square().mean() / squares.mean()).sqrt().item()
        assert relative <= together, f"off by {relative:.2e} of the root mean square, {together:.2e} are allowed"
    excess = error - unit * size - tiny
    assert (excess <= 0).all(), f"off by {excess.nan_to_num(torch.inf).max().item():.2e} more than allowed"


def assert_gradients_near(output: Tensor, inputs: list[Tensor], truth: Tensor, truths: list[Tensor], **units: float):
    """Backpropagate one random gradient through both graphs and compare what arrives."""
    upstream = draw(*output.shape, dtype=output.dtype, seed=1).detach()
    actual = torch.autograd.grad(output, inputs, upstream)
    expected = torch.autograd.grad(truth, truths, upstream.double())
    for a, x, b in zip(actual, inputs, expected, strict=True):
        assert a.dtype == x.dtype
        assert_near(a, b, **units)
