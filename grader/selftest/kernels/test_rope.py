"""RoPE's kernel against float64."""

from __future__ import annotations

import pytest
import torch

from grader.kernels.rope import rope, rope_tables
from grader.selftest.kernels.comparison import (
    DEVICE,
    DTYPES,
    assert_gradients_near,
    assert_near,
    draw,
    in_float64,
)

THETA = 10_000.0


def reference(x, positions=None):
    """Multiply the pairs, as complex numbers, by exp(i · angle)."""
    *_, tokens, head_dim = x.shape
    if positions is None:
        positions = torch.arange(tokens, device=x.device)
    frequencies = THETA ** (-torch.arange(0, head_dim, 2, dtype=torch.float64, device=x.device) / head_dim)
    angles = positions[..., None, :, None] * frequencies if positions.ndim == 2 else positions[:, None] * frequencies
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def tables(head_dim, positions):
    return rope_tables(head_dim, positions, THETA, DEVICE)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (2, 3, 5, 6), (1, 2, 40, 96), (2, 9, 17, 64), (1, 1, 33, 256)])
def test_values_and_gradients(shape, dtype):
    x = draw(*shape, dtype=dtype)
    truth_x = in_float64(x)
    y, truth = rope(x, *tables(shape[-1], shape[-2])), reference(truth_x)
    assert y.dtype == dtype
    assert_near(y, truth)
    assert_gradients_near(y, [x], truth, [truth_x])


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize("shape", [(5,), (2, 5)])
def test_positions(shape, dtype):
    x = draw(2, 3, 5, 8)
    positions = torch.randint(0, 50, shape, generator=torch.Generator().manual_seed(3)).to(DEVICE, dtype)
    truth_x = in_float64(x)
    y, truth = rope(x, *tables(8, 50), positions=positions), reference(truth_x, positions)
    assert_near(y, truth)
    assert_gradients_near(y, [x], truth, [truth_x])


def test_positions_that_lie_apart():
    x = draw(2, 3, 5, 8).detach()
    positions = torch.arange(20, device=DEVICE).view(2, 10)[:, ::2]
    assert_near(rope(x, *tables(8, 20), positions=positions), reference(x.double(), positions))


def test_far_positions_keep_their_angle():
    x = draw(1, 1, 3, 64).detach()
    positions = torch.tensor([99_997, 99_998, 99_999], device=DEVICE)
    assert_near(rope(x, *tables(64, 100_000), positions=positions), reference(x.double(), positions))


def test_heads_that_alternate_in_memory():
    projected = draw(2, 7, 3 * 10)
    truth_projected = in_float64(projected)
    x, truth_x = (t.view(2, 7, 3, 10).transpose(1, 2) for t in (projected, truth_projected))
    y, truth = rope(x, *tables(10, 7)), reference(truth_x)
    assert y.stride() == x.stride()
    assert_near(y, truth)
    assert_gradients_near(y, [projected], truth, [truth_projected])


def test_in_place_changes_the_heads_it_is_given_and_nothing_else():
    projected = draw(2, 7, 9 * 10).detach()
    before = projected.clone()
    x = projected.view(2, 7, 9, 10).transpose(1, 2)[:, 1:3]
    y = rope(x, *tables(10, 7), in_place=True)
    assert y.data_ptr() == x.data_ptr()
    changed = before.view(2, 7, 9, 10)
    changed[:, :, 1:3] = reference(changed[:, :, 1:3].transpose(1, 2).double()).transpose(1, 2).float()
    assert_near(projected, changed.view_as(projected).double())


def test_in_place_is_differentiable():
    x = draw(1, 2, 5, 6)
    truth_x = in_float64(x)
    y, truth = rope(x * 2, *tables(6, 5), in_place=True), reference(truth_x * 2)
    assert_gradients_near(y, [x], truth, [truth_x])


def test_columns_apart_are_copied_unless_in_place():
    x = draw(1, 2, 6, 5).detach().transpose(2, 3)
    assert_near(rope(x, *tables(6, 5)), reference(x.double()))
    with pytest.raises(ValueError, match="adjacent columns"):
        rope(x, *tables(6, 5), in_place=True)


def test_what_it_refuses():
    with pytest.raises(ValueError, match="even head dimension"):
        rope(torch.zeros(1, 1, 2, 6, device=DEVICE), *tables(8, 2))
    with pytest.raises(ValueError, match="too few for 3 tokens"):
        rope(torch.zeros(1, 1, 3, 8, device=DEVICE), *tables(8, 2))
