"""Softmax: e^(x_i) / sum_j e^(x_j) along one dimension."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.checks.untouched import inputs_after


def in_float32(probabilities):
    """Probabilities of another type in that of the cases; that the type is kept is a claim of its own."""
    if isinstance(probabilities, torch.Tensor) and probabilities.is_floating_point():
        return probabilities.float()
    return probabilities


@pytest.mark.cases
def test_matches_reference(submission, case):
    """Softmax divides e^x by the sum of e^x over the given dimension.

    Asked: problem softmax, its formula.
    """
    case.check(in_float32(submission.run_softmax(**case.inputs)))


@pytest.mark.cases("dimensions")
def test_any_dimension(submission, case):
    """Softmax works along any dimension, counted from the front or from the back.

    Asked: problem softmax, the parameter for the dimension.
    """
    case.check(in_float32(submission.run_softmax(**case.inputs)))


@pytest.mark.cases("far_from_zero")
def test_far_from_zero(submission, case):
    """Numbers whose exponential overflows or vanishes still give the right probabilities.

    Asked: problem softmax, subtract the largest value against overflow.
    """
    case.check(in_float32(submission.run_softmax(**case.inputs)))


@pytest.mark.cases("large")
def test_large_inputs(submission, case):
    """There may be many rows, and they may be long.

    Asked: problem softmax: the formula holds for every size.
    """
    case.check(in_float32(submission.run_softmax(**case.inputs)))


# Far enough to show, and near enough that nothing overflows, which is another claim.
@given(first=st.integers(-40, 40), gap=st.integers(1, 40), shift=st.integers(-20, 20))
def test_shift_invariance(submission, first, gap, shift):
    """Adding one number to all inputs changes nothing, and a larger input gets a larger probability.

    Asked: problem softmax, which states and uses it.
    """
    # Eighths and whole numbers add without rounding in float32.
    x = torch.tensor([first, first + gap]) / 8
    before, after = (submission.run_softmax(in_features=v, dim=-1) for v in (x, x + shift))
    assert before.shape == after.shape == x.shape, f"expected shape {tuple(x.shape)}, got {tuple(after.shape)}"
    numbers, here, there = ([round(n, 6) for n in values.tolist()] for values in (x, before, after))
    assert torch.allclose(before, after, rtol=1e-3, atol=0), (
        f"{numbers} gives {here}, and the same numbers with {shift} added give {there}"
    )
    assert abs(after.sum().item() - 1) < 1e-3, f"the probabilities of {numbers} add up to {after.sum().item():.6g}"
    assert (before.diff() > 0).all(), f"probabilities do not grow with the inputs: {numbers} gives {here}"


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter.

    Asked: plain safety: a tensor is its values.
    """
    case.check(in_float32(submission.run_softmax(**case.inputs)))


@pytest.mark.edge
@pytest.mark.cases("minus_infinity")
def test_minus_infinity(submission, case):
    """An input of minus infinity gets probability 0 and does not affect the others.

    Asked: problem scaled_dot_product_attention, which masks with minus infinity.
    """
    case.check(in_float32(submission.run_softmax(**case.inputs)))


@pytest.mark.edge
@pytest.mark.cases("dtypes")
def test_dtype(submission, case):
    """float32, float64, float16 or bfloat16 inputs give probabilities of that dtype, as precise as it allows.

    Asked: models are built with a `dtype`, and attention multiplies the probabilities with values of it.
    """
    case.check(submission.run_softmax(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_input_unchanged(submission, case):
    """Softmax returns a new tensor and does not modify its input.

    Asked: plain safety: inputs belong to the caller.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through both numerator and denominator.

    Asked: what comes before it must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))
