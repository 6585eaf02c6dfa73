"""LayerNorm: (x - mean) / sqrt(variance + eps) * gain + bias, over the last dimension."""

import pytest

from grader.checks.untouched import inputs_after

pytestmark = pytest.mark.own_adapter


@pytest.mark.cases
def test_gain_and_bias(submission, case):
    """LayerNorm takes the mean away, divides by the root of the variance, scales by the gain and adds the bias.

    Asked: problem layernorm, the formula.
    """
    case.check(submission.run_layernorm(**case.inputs))


@pytest.mark.cases("without_bias")
def test_without_bias(submission, case):
    """Without a bias, nothing is added after the gain.

    Asked: problem layernorm, the gain and the bias are each left out where they are None.
    """
    case.check(submission.run_layernorm(**case.inputs))


@pytest.mark.cases("without_either")
def test_without_gain_and_bias(submission, case):
    """Without gain and bias, the result has mean 0 and variance 1.

    Asked: problem layernorm, the gain and the bias are each left out where they are None.
    """
    case.check(submission.run_layernorm(**case.inputs))


@pytest.mark.cases("eps")
def test_eps(submission, case):
    """The given eps is added to the variance, under the root, so that a vector of equal values stays finite.

    Asked: problem layernorm, the formula.
    """
    case.check(submission.run_layernorm(**case.inputs))


@pytest.mark.cases("far_from_zero")
def test_mean_far_from_zero(submission, case):
    """Values may all be far from zero: the mean is taken away before anything is squared.

    Asked: problem layernorm, the mean of the squares less the square of the mean has no digits left.
    """
    case.check(submission.run_layernorm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("shapes")
def test_any_leading_dimensions(submission, case):
    """The input may have any number of leading dimensions, or none, and any layout in memory.

    Asked: the "..." in the signature of run_layernorm.
    """
    case.check(submission.run_layernorm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """float16 and bfloat16 inputs are normalised in float32, and the output has the input's dtype.

    Asked: problem layernorm, the dtype in which to compute.
    """
    case.check(submission.run_layernorm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """LayerNorm returns a new tensor and modifies neither its input nor gain and bias.

    Asked: plain safety: in a block the input is needed again.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through the mean and the variance, too.

    Asked: what comes before the layer must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))
