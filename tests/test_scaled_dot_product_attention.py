"""Scaled dot-product attention: softmax(Q K^T / sqrt(d_k)) V, with a mask."""

import pytest
import torch

from grader.cases.case import Draw


def test_closed_keys_have_no_influence(submission):
    """Keys and values behind the mask may change without changing the output."""
    draw = Draw(0, "closed keys")
    given = {"Q": draw.normal(2, 4, 8), "K": draw.normal(2, 6, 8), "V": draw.normal(2, 6, 8)}
    mask = torch.ones(2, 4, 6, dtype=torch.bool)
    mask[..., 4:] = False
    before = submission.run_scaled_dot_product_attention(**given, mask=mask)
    closed, opened = ({name: value.clone() for name, value in given.items()} for _ in range(2))
    for name in ("K", "V"):
        closed[name][:, 4:] = draw.normal(2, 2, 8, scale=3)
        opened[name][:, 3] = draw.normal(2, 8, scale=3)
    after = submission.run_scaled_dot_product_attention(**closed, mask=mask)
    assert torch.allclose(before, after, rtol=1e-5, atol=1e-6), (
        "keys and values behind the mask were changed, "
        f"and the output changed by up to {(before - after).abs().max():.3g}"
    )
    after = submission.run_scaled_dot_product_attention(**opened, mask=mask)
    assert (before - after).abs().amax(-1).min() > 1e-4, (
        "an open key and its value were changed, and some output was not"
    )


@pytest.mark.cases
def test_matches_reference(submission, case):
    """Attention averages the values with weights softmax(Q K^T / sqrt(d_k)), for one or two batch dimensions."""
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.cases("sizes")
def test_sizes(submission, case):
    """Queries, keys and values may differ in number and width; the scale comes from the width of the keys."""
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.cases("mask")
def test_mask(submission, case):
    """A key whose mask is False gets probability 0; the probabilities of the others add up to 1."""
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.cases("large")
def test_large_scores(submission, case):
    """Scores whose exponential overflows still give the right average."""
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the inputs in memory does not matter."""
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("no_mask")
def test_no_mask(submission, case):
    """A mask of None lets every query attend to every key."""
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("broadcast")
def test_broadcast_mask(submission, case):
    """A mask broadcasts: one for all sequences, for all heads, or for all queries."""
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("shapes")
def test_any_leading_dimensions(submission, case):
    """There may be any number of leading dimensions, or none."""
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """Attention leaves queries, keys, values and mask as they were."""
    case.check(submission.inputs_after(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow to queries, keys and values, and stay finite behind the mask."""
    case.check(submission.gradients(**case.inputs))
