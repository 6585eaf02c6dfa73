"""Softmax's kernels against float64."""

from __future__ import annotations

import pytest
import torch

from grader.kernels.softmax import WIDEST_TILE, softmax
from grader.selftest.kernels.comparison import (
    DEVICE,
    DTYPES,
    assert_gradients_near,
    assert_near,
    draw,
    in_float64,
)

STEP = 16_384  # elements, the longest step over a row


def assert_softmax(x: torch.Tensor) -> None:
    truth_x = in_float64(x)
    y, truth = softmax(x), truth_x.softmax(dim=-1)
    assert y.dtype == x.dtype
    assert_near(y, truth)
    assert_gradients_near(y, [x], truth, [truth_x], roundings=3)  # the kernel's y is rounded already


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 3, 129), (77, 200), (5, 1000), (7,), (2, 4096)])
def test_values_and_gradients(shape, dtype):
    assert_softmax(draw(*shape, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [WIDEST_TILE + 1, 3 * STEP, 3 * STEP - 7])
def test_rows_wider_than_a_tile(columns, dtype):
    assert_softmax(draw(2, columns, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pad", [1, 7, 8])
def test_wide_rows_that_lie_apart(pad, dtype):
    """x, y and the gradients of both begin at different distances from a multiple of 16 bytes."""
    columns = WIDEST_TILE + 13
    padded = draw(3, columns + pad, dtype=dtype)
    truth_padded = in_float64(padded)
    y, truth = softmax(padded[:, pad:]), truth_padded[:, pad:].softmax(dim=-1)
    assert_near(y, truth)
    upstream = draw(3, columns + 3, dtype=dtype, seed=1).detach()[:, 3:]
    (dx,) = torch.autograd.grad(y, padded, upstream)
    (expected,) = torch.autograd.grad(truth, truth_padded, upstream.double())
    assert_near(dx, expected, roundings=3)


def test_rows_that_lie_apart_and_transposed_rows():
    wide = draw(9, 100)
    truth_wide = in_float64(wide)
    for view in (lambda x: x[:, 3:80], lambda x: x[::2], lambda x: x.T, lambda x: x.expand(2, 9, 100)):
        y, truth = softmax(view(wide)), view(truth_wide).softmax(dim=-1)
        assert_near(y, truth)
        assert_gradients_near(y, [wide], truth, [truth_wide])


def test_gradient_that_lies_transposed():
    x = draw(9, 30)
    truth_x = in_float64(x)
    assert_gradients_near(softmax(x).T, [x], truth_x.softmax(dim=-1).T, [truth_x])


@pytest.mark.parametrize("columns", [50, 2 * STEP + 5_000])
def test_masked_entries_get_nothing(columns):
    x = draw(2, columns).detach()
    x[:, : columns // 2 + 1] = -torch.inf  # for the wider one this is more than a first sweep
    y = softmax(x)
    assert (y[:, : columns // 2 + 1] == 0).all()
    assert_near(y, in_float64(x).softmax(dim=-1))


@pytest.mark.parametrize("columns", [50, WIDEST_TILE + 1])
@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_large_values_do_not_overflow(columns, offset):
    x = (draw(2, columns, scale=30.0) + offset).detach()
    assert_near(softmax(x), in_float64(x).softmax(dim=-1))


def test_no_elements():
    assert softmax(torch.empty(0, 5, device=DEVICE)).shape == (0, 5)
    assert softmax(torch.empty(5, 0, device=DEVICE)).shape == (5, 0)
