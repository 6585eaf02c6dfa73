"""RMSNorm: x / sqrt(mean(x^2) + eps) * gain, over the last dimension."""

import pytest

from grader.cases.case import Draw
from grader.checks.new_layers import GAIN, check_parameter_gradients, new
from grader.checks.placement import check_placement
from grader.checks.untouched import inputs_after

CONFIG = {"d_model": 24, "eps": 1e-5}


def new_rmsnorm(submission):
    """A new RMSNorm(24)."""
    draw = Draw(0, "a new RMSNorm")
    inputs = {**CONFIG, "weights": draw.uniform(24, low=2, high=3), "in_features": draw.normal(2, 3, 24)}
    return new(submission, "run_rmsnorm", inputs, "a new RMSNorm(24)")


@pytest.mark.cases
def test_matches_reference(submission, case):
    """RMSNorm divides by the root mean square of the last dimension and scales by the gain.

    Asked: problem rmsnorm, the formula of RMSNorm.
    """
    case.check(submission.run_rmsnorm(**case.inputs))


@pytest.mark.cases("eps")
def test_eps(submission, case):
    """The given eps is added to the mean square, under the root, so that a vector of zeros stays finite.

    Asked: problem rmsnorm, the formula of RMS(a).
    """
    case.check(submission.run_rmsnorm(**case.inputs))


@pytest.mark.cases("large")
def test_large_inputs(submission, case):
    """Inputs may be many and long, and their values large.

    Asked: problem rmsnorm: the formula holds for every size and every number.
    """
    case.check(submission.run_rmsnorm(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("shapes")
def test_any_leading_dimensions(submission, case):
    """The input may have any number of leading dimensions, or none.

    Asked: the "..." in the signature of run_rmsnorm; the assignment's text says [batch, sequence, d_model].
    """
    case.check(submission.run_rmsnorm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter.

    Asked: plain safety: a tensor is its values.
    """
    case.check(submission.run_rmsnorm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """float16 and bfloat16 inputs are normalised in float32, and the output has the input's dtype.

    Asked: problem rmsnorm, upcast to float32 before squaring, and return the input's dtype.
    """
    case.check(submission.run_rmsnorm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """RMSNorm returns a new tensor and modifies neither its input nor the gain.

    Asked: plain safety: in a pre-norm block the input is needed again.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through both the numerator and the norm.

    Asked: what comes before the layer must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
def test_gain_starts_at_one(submission):
    """A new RMSNorm has one trainable parameter, of shape [d_model], and every gain is 1.

    Asked: problem rmsnorm, the gain is learnable, and section "parameter initialization".
    """
    layer = new_rmsnorm(submission)
    layer.check_registered([((24,), GAIN)])
    layer.check_spread([((24,), GAIN)])


@pytest.mark.edge
@pytest.mark.cases("gain_gradients")
def test_gain_learns(submission, case):
    """The gradient of the output reaches every gain.

    Asked: problem rmsnorm, the gain is learnable.
    """
    check_parameter_gradients(case, submission.parameter_gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.own_adapter
def test_device_and_dtype(submission):
    """A new RMSNorm has its gain on the requested device and in the requested dtype.

    Asked: problem rmsnorm, the parameters `device` and `dtype` of the layer.
    """
    check_placement(submission, "get_rmsnorm_module", CONFIG, "a new RMSNorm")
