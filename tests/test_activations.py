"""Activation functions: ReLU and its square, GELU in two forms, Swish, ELU and SELU."""

import pytest
import torch

from grader.checks.refusals import check_refused
from grader.checks.untouched import inputs_after

pytestmark = pytest.mark.own_adapter


@pytest.mark.cases("relu")
def test_relu(submission, case):
    """ReLU is x where x is positive, and 0 elsewhere.

    Asked: problem activations, the table of formulas.
    """
    case.check(submission.run_activation(**case.inputs))


@pytest.mark.cases("squared_relu")
def test_squared_relu(submission, case):
    """Squared ReLU is the square of ReLU: 0 where x is negative.

    Asked: problem activations, the table of formulas.
    """
    case.check(submission.run_activation(**case.inputs))


@pytest.mark.cases("gelu")
def test_gelu(submission, case):
    """GELU is x Phi(x), with the exact distribution function of the normal distribution.

    Asked: problem activations, the table of formulas.
    """
    case.check(submission.run_activation(**case.inputs))


@pytest.mark.cases("gelu_tanh")
def test_gelu_tanh(submission, case):
    """The approximation of GELU is made with tanh, as GPT-2 has it.

    Asked: problem activations, the table of formulas.
    """
    case.check(submission.run_activation(**case.inputs))


@pytest.mark.cases("swish")
def test_swish(submission, case):
    """Swish is x sigmoid(beta x).

    Asked: problem activations, the table of formulas.
    """
    case.check(submission.run_activation(**case.inputs))


@pytest.mark.cases("elu")
def test_elu(submission, case):
    """ELU is x where x is positive, and alpha (e^x - 1) elsewhere.

    Asked: problem activations, the table of formulas.
    """
    case.check(submission.run_activation(**case.inputs))


@pytest.mark.cases("selu")
def test_selu(submission, case):
    """SELU is lambda times ELU, on both sides of 0.

    Asked: problem activations, the table of formulas.
    """
    case.check(submission.run_activation(**case.inputs))


@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """The gradient of each function is that of its formula, and finite far from 0.

    Asked: problem activations, "with gradients"; an ELU of 200 has the gradient 1.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("far")
def test_far_from_zero(submission, case):
    """The result is finite wherever the function is.

    Asked: problem activations, finite for every finite input.
    """
    case.check(submission.run_activation(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("dtypes")
def test_dtypes(submission, case):
    """The result has the dtype of the input, and any number of dimensions.

    Asked: problem activations, the shape and dtype of x.
    """
    case.check(submission.run_activation(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_input_unchanged(submission, case):
    """The input is afterwards what it was.

    Asked: plain safety: inputs belong to the caller.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
def test_unknown_name(submission):
    """An unknown name raises ValueError, with the name in its message.

    Asked: the documentation of activation.
    """
    x = torch.tensor([-1.0, 2.0])
    assert submission.run_activation(function="relu", in_features=x).shape == (2,)
    check_refused(submission, "run_activation", {"function": "rulu", "in_features": x}, "the name 'rulu'", "rulu")
