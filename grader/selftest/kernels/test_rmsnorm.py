"""RMSNorm's kernels against float64."""

from __future__ import annotations

import pytest
import torch

from grader.kernels.rmsnorm import WIDEST, rmsnorm
from grader.selftest.kernels.comparison import (
    DEVICE,
    DTYPES,
    assert_gradients_near,
    assert_near,
    draw,
    in_float64,
)

EPS = 1e-5


def reference(x, gain, eps=EPS):
    return x / (x.square().mean(dim=-1, keepdim=True) + eps).sqrt() * gain


def assert_rmsnorm(x, gain):
    truth_x, truth_gain = in_float64(x), in_float64(gain)
    y, truth = rmsnorm(x, gain, EPS), reference(truth_x, truth_gain)
    assert y.dtype == x.dtype
    assert_near(y, truth)
    assert_gradients_near(y, [x, gain], truth, [truth_x, truth_gain])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 3), (3, 5), (2, 3, 129), (100, 77), (77, 1000), (7,), (3, 4096)])
def test_values_and_gradients(shape, dtype):
    assert_rmsnorm(draw(*shape, dtype=dtype), draw(shape[-1], dtype=dtype, seed=2))


@pytest.mark.parametrize("columns", [10_000, 16_384, WIDEST])
def test_wide_rows(columns):
    assert_rmsnorm(draw(3, columns, dtype=torch.float16), draw(columns, dtype=torch.float16, seed=2))


def test_float32_gain_for_bf16_rows():
    assert_rmsnorm(draw(10, 100, dtype=torch.bfloat16), draw(100, seed=2))


def test_rows_that_lie_apart_and_transposed_rows():
    wide, gain = draw(9, 100), draw(9, seed=2)
    truth_wide, truth_gain = in_float64(wide), in_float64(gain)
    for view in (lambda x: x[:, 3:12], lambda x: x[::2, 1:10], lambda x: x.T):
        y, truth = rmsnorm(view(wide), gain, EPS), reference(view(truth_wide), truth_gain)
        assert_near(y, truth)
        assert_gradients_near(y, [wide, gain], truth, [truth_wide, truth_gain])


def test_gradient_that_lies_transposed_or_is_broadcast():
    x, gain = draw(9, 30), draw(30, seed=2)
    truth_x, truth_gain = in_float64(x), in_float64(gain)
    for use in (lambda y: y.T, lambda y: y.sum()):
        y, truth = use(rmsnorm(x, gain, EPS)), use(reference(truth_x, truth_gain))
        assert_gradients_near(y, [x, gain], truth, [truth_x, truth_gain])


def test_squares_beyond_fp16():
    assert_rmsnorm(draw(4, 64, dtype=torch.float16, scale=1e4), draw(64, dtype=torch.float16, seed=2))


def test_eps_keeps_zero_rows_finite():
    x = torch.zeros(3, 8, device=DEVICE, requires_grad=True)
    y = rmsnorm(x, torch.ones(8, device=DEVICE), EPS)
    (dx,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert (y == 0).all()
    assert_near(dx, torch.full_like(dx, EPS**-0.5, dtype=torch.float64))


def test_what_it_refuses():
    with pytest.raises(ValueError, match="at most 32,768 columns"):
        rmsnorm(torch.zeros(1, WIDEST + 1, device=DEVICE), torch.ones(WIDEST + 1, device=DEVICE))
    with pytest.raises(ValueError, match="one gain for each of 8 columns"):
        rmsnorm(torch.zeros(2, 8, device=DEVICE), torch.ones(4, device=DEVICE))


def test_no_rows():
    assert rmsnorm(torch.empty(0, 8, device=DEVICE), torch.ones(8, device=DEVICE)).shape == (0, 8)
