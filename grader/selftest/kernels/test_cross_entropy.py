"""Cross-entropy's kernel against float64."""

from __future__ import annotations

import pytest
import torch

from grader.kernels.cross_entropy import WIDEST_TILE, cross_entropy
from grader.selftest.kernels.comparison import (
    DEVICE,
    DTYPES,
    assert_gradients_near,
    assert_near,
    draw,
    in_float64,
)

STEP = 16_384  # elements, the longest step over a row


def draw_targets(*shape, vocabulary):
    return torch.randint(0, vocabulary, shape, generator=torch.Generator().manual_seed(5)).to(DEVICE)


def reference(logits, targets):
    chosen = logits.gather(-1, targets[..., None]).squeeze(-1)
    return (logits.logsumexp(dim=-1) - chosen).mean()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 2), (5, 7), (2, 3, 129), (40, 1000), (2, WIDEST_TILE), (2, 40_000), (2, 3 * STEP - 7)]
)
def test_loss_and_gradient(shape, overwrite, dtype):
    logits = draw(*shape, dtype=dtype, scale=3.0)
    targets = draw_targets(*shape[:-1], vocabulary=shape[-1])
    truth_logits = in_float64(logits)
    loss, truth = cross_entropy(logits, targets, overwrite_logits=overwrite), reference(truth_logits, targets)
    assert loss.dtype == torch.float32
    assert_near(loss, truth)
    assert_gradients_near(loss, [logits], truth, [truth_logits], roundings=2)  # once more when it is scaled


@pytest.mark.parametrize("columns", [50, WIDEST_TILE + 1])
def test_first_and_last_class(columns):
    logits = draw(2, columns)
    targets = torch.tensor([0, columns - 1], device=DEVICE)
    truth_logits = in_float64(logits)
    loss, truth = cross_entropy(logits, targets, overwrite_logits=True), reference(truth_logits, targets)
    assert_near(loss, truth)
    assert_gradients_near(loss, [logits], truth, [truth_logits])


@pytest.mark.parametrize("overwrite", [False, True])
def test_overwrites_the_logits_only_if_allowed_and_wanted(overwrite):
    logits = draw(4, 9)
    before = logits.detach().clone()
    targets = draw_targets(4, vocabulary=9)
    cross_entropy(logits.detach(), targets, overwrite_logits=overwrite)
    assert torch.equal(logits, before)
    loss = cross_entropy(logits, targets, overwrite_logits=overwrite)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient.data_ptr() == logits.data_ptr()) == overwrite
    assert torch.equal(logits, before) != overwrite


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_rows_targets_that_lie_apart(dtype):
    logits, targets = draw(6, 40), draw_targets(6, vocabulary=20).to(dtype)
    truth_logits = in_float64(logits)
    loss = cross_entropy(logits[::2, 5:25], targets[::2])
    truth = reference(truth_logits[::2, 5:25], targets[::2].long())
    assert_near(loss, truth)
    assert_gradients_near(loss, [logits], truth, [truth_logits])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pad", [1, 7, 8])
def test_wide_rows_of_a_padded_vocabulary(pad, dtype):
    """Logits and their gradient begin at different distances from a multiple of 16 bytes."""
    columns = WIDEST_TILE + 13
    padded = draw(3, columns + pad, dtype=dtype, scale=3.0)
    targets = torch.tensor([0, columns - 1, columns // 2], device=DEVICE)
    truth_padded = in_float64(padded)
    loss, truth = cross_entropy(padded[:, :columns], targets), reference(truth_padded[:, :columns], targets)
    assert_near(loss, truth)
    assert_gradients_near(loss, [padded], truth, [truth_padded], roundings=2)


def test_scaled_loss_through_a_projection():
    hidden, head, targets = draw(12, 6), draw(50, 6, seed=2), draw_targets(12, vocabulary=50)
    truth_hidden, truth_head = in_float64(hidden), in_float64(head)
    loss = cross_entropy(hidden @ head.T, targets, overwrite_logits=True) / 3
    truth = reference(truth_hidden @ truth_head.T, targets) / 3
    assert_near(loss, truth)
    assert_gradients_near(loss, [hidden, head], truth, [truth_hidden, truth_head])


@pytest.mark.parametrize("columns", [50, WIDEST_TILE + 1])
@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_large_logits_do_not_overflow(columns, offset):
    logits = (draw(2, columns, scale=30.0) + offset).detach().requires_grad_()
    targets = draw_targets(2, vocabulary=columns)
    truth_logits = in_float64(logits)
    loss, truth = cross_entropy(logits, targets), reference(truth_logits, targets)
    assert_near(loss, truth)
    assert_gradients_near(loss, [logits], truth, [truth_logits])


@pytest.mark.parametrize("columns", [50, 2 * STEP + 5_000])
def test_masked_classes(columns):
    logits = draw(2, columns).detach()
    logits[:, : columns // 2 + 1] = -torch.inf
    logits.requires_grad_()
    targets = torch.full((2,), columns - 1, device=DEVICE)
    truth_logits = in_float64(logits)
    loss, truth = cross_entropy(logits, targets), reference(truth_logits, targets)
    assert_near(loss, truth)
    assert_gradients_near(loss, [logits], truth, [truth_logits])


def test_second_backward_pass_is_refused():
    logits = draw(4, 9)
    loss = cross_entropy(logits, draw_targets(4, vocabulary=9))
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="backpropagated through once"):
        loss.backward()


def test_what_it_refuses():
    with pytest.raises(ValueError, match="one target per row"):
        cross_entropy(torch.zeros(3, 4, device=DEVICE), torch.zeros(4, dtype=torch.int64, device=DEVICE))
    with pytest.raises(ValueError, match="at least one row"):
        cross_entropy(torch.zeros(0, 4, device=DEVICE), torch.zeros(0, dtype=torch.int64, device=DEVICE))
    logits, targets = torch.zeros(4, 3, device=DEVICE).T, torch.zeros(3, dtype=torch.int64, device=DEVICE)
    with pytest.raises(ValueError, match="contiguous logits only"):
        cross_entropy(logits, targets, overwrite_logits=True)
