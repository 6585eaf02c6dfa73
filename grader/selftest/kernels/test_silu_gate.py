"""SiLU-gate's kernels against float64."""

from __future__ import annotations

import pytest
import torch

from grader.kernels.silu_gate import BLOCK, silu_gate
from grader.selftest.kernels.comparison import (
    DEVICE,
    DTYPES,
    assert_gradients_near,
    assert_near,
    draw,
    in_float64,
)


def reference(a, b):
    return a / (1 + torch.exp(-a)) * b


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 129), (BLOCK,), (7, BLOCK - 1)])
def test_values_and_gradients(shape, dtype):
    a, b = draw(*shape, dtype=dtype), draw(*shape, dtype=dtype, seed=2)
    truth_a, truth_b = in_float64(a), in_float64(b)
    y, truth = silu_gate(a, b), reference(truth_a, truth_b)
    assert y.dtype == dtype
    assert_near(y, truth)
    assert_gradients_near(y, [a, b], truth, [truth_a, truth_b])


@pytest.mark.parametrize("columns", [10, 2 * (BLOCK + 3)])
def test_halves_of_a_fused_projection(columns):
    both = draw(5, columns)
    truth_both = in_float64(both)
    y, truth = silu_gate(*both.chunk(2, dim=-1)), reference(*truth_both.chunk(2, dim=-1))
    assert_near(y, truth)
    assert_gradients_near(y, [both], truth, [truth_both])


def test_one_input_or_the_gradient_transposed():
    a, b = draw(6, 9), draw(9, 6, seed=2)
    truth_a, truth_b = in_float64(a), in_float64(b)
    y, truth = silu_gate(a, b.T), reference(truth_a, truth_b.T)
    assert_near(y, truth)
    assert_gradients_near(y.T, [a, b], truth.T, [truth_a, truth_b])


def test_saturated_gates():
    a = torch.tensor([-1e4, -100.0, -20.0, 20.0, 100.0, 1e4], device=DEVICE, requires_grad=True)
    b = torch.ones_like(a, requires_grad=True)
    y = silu_gate(a, b)
    da, db = torch.autograd.grad(y, [a, b], torch.ones_like(y))
    truth = torch.nn.functional.silu(in_float64(a))
    assert_near(y, truth)
    assert_near(db, truth)
    assert_near(da, (a > 0).double(), operations=1_000)  # 20 σ'(20) is 4e-8


def test_what_it_refuses():
    with pytest.raises(ValueError, match="one shape and dtype"):
        silu_gate(torch.zeros(2, 3, device=DEVICE), torch.zeros(3, 2, device=DEVICE))
    with pytest.raises(ValueError, match="one shape and dtype"):
        silu_gate(torch.zeros(2, device=DEVICE), torch.zeros(2, device=DEVICE, dtype=torch.float16))


def test_no_elements():
    assert silu_gate(*torch.empty(2, 0, 5, device=DEVICE)).shape == (0, 5)
