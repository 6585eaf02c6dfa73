"""Linear: y = W x without a bias, over the last dimension."""

import pytest

from grader.cases.case import Draw
from grader.checks.new_layers import check_parameter_gradients, new
from grader.checks.placement import check_placement

SHAPE = (400, 150)
STD = (2 / 550) ** 0.5


def new_linear(submission):
    """A new Linear(150, 400)."""
    draw = Draw(0, "a new Linear")
    inputs = {"d_in": 150, "d_out": 400, "weights": draw.normal(*SHAPE), "in_features": draw.normal(2, 3, 150)}
    return new(submission, "run_linear", inputs, "a new Linear(150, 400)")


@pytest.mark.cases
def test_matches_reference(submission, case):
    """Linear multiplies the last dimension of its input by the weight, and adds no bias.

    Asked: problem linear, y = W x, and the signature of run_linear.
    """
    case.check(submission.run_linear(**case.inputs))


@pytest.mark.cases("large")
def test_large_inputs(submission, case):
    """Inputs may be many and long, and their values large.

    Asked: problem linear: the formula holds for every size and every number.
    """
    case.check(submission.run_linear(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("shapes")
def test_any_leading_dimensions(submission, case):
    """The input may have any number of leading dimensions, or none.

    Asked: the "..." in the signature of run_linear; the assignment itself uses [batch, sequence, d_in] only.
    """
    case.check(submission.run_linear(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of input and weight in memory does not matter.

    Asked: plain safety: a tensor is its values.
    """
    case.check(submission.run_linear(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("dtypes")
def test_dtype(submission, case):
    """A float64, float16 or bfloat16 Linear returns results of that dtype, as precise as it allows.

    Asked: problem linear, the parameter `dtype` of the layer.
    """
    case.check(submission.in_dtype(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through the layer to its input.

    Asked: what comes before the layer must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("weight_gradients")
def test_weight_learns(submission, case):
    """The gradient of the output reaches the weight.

    Asked: problem linear, the weight is a torch.nn.Parameter.
    """
    check_parameter_gradients(case, submission.parameter_gradients(**case.inputs))


@pytest.mark.edge
def test_parameter(submission):
    """A new Linear has one trainable parameter, of shape [out_features, in_features], and no bias.

    Asked: problem linear, the weight is stored as W, not as its transpose, in a torch.nn.Parameter.
    """
    new_linear(submission).check_registered([(SHAPE, STD)])


@pytest.mark.edge
def test_initial_weight(submission):
    """The weight is initialised with a variance of 2 / (in_features + out_features).

    Asked: section "parameter initialization".
    """
    new_linear(submission).check_spread([(SHAPE, STD)])


@pytest.mark.edge
def test_initial_weight_is_cut(submission):
    """The weight is initialised from a normal distribution truncated at three standard deviations.

    Asked: section "parameter initialization".
    """
    new_linear(submission).check_cut([SHAPE, SHAPE[::-1]])


@pytest.mark.edge
@pytest.mark.own_adapter
def test_device_and_dtype(submission):
    """A new Linear has its weight on the requested device and in the requested dtype.

    Asked: problem linear, the parameters `device` and `dtype` of the layer.
    """
    check_placement(submission, "get_linear_module", {"in_features": 150, "out_features": 400}, "a new Linear")
