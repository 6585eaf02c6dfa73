"""Linear: y = W x without a bias, over the last dimension."""

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.initialisation import check_truncated_normal
from grader.cases.placement import check_placement

CONFIG = {"in_features": 150, "out_features": 400}


@pytest.mark.cases
def test_matches_reference(submission, case):
    """Linear multiplies the last dimension of its input by the weight, and adds no bias."""
    case.check(submission.run_linear(**case.inputs))


@pytest.mark.cases("shapes")
def test_any_leading_dimensions(submission, case):
    """The input may have any number of leading dimensions, or none."""
    case.check(submission.run_linear(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of input and weight in memory does not matter."""
    case.check(submission.run_linear(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through the layer to its input."""
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.own_adapter
def test_parameter(submission):
    """A new Linear has one trainable parameter, `weight`, of shape [out_features, in_features]."""
    state = submission.module_state(factory="get_linear_module", config=CONFIG, seed=0)
    shapes = {name: tuple(value.shape) for name, value in state["parameters"].items()}
    assert shapes == {"weight": (400, 150)}, f"expected one parameter, weight of shape (400, 150); got {shapes}"
    assert state["requires_grad"] == {"weight": True}, (
        "the weight has requires_grad=False, so it would never be trained"
    )
    assert "weight" in state["state_dict"], "the weight is missing from the state dict, so a checkpoint would lose it"


@pytest.mark.edge
@pytest.mark.own_adapter
def test_initial_weight(submission):
    """The weight starts normal with variance 2 / (in_features + out_features), cut off at 3 sigma."""
    state = submission.module_state(factory="get_linear_module", config=CONFIG, seed=1)
    assert "weight" in state["parameters"], "a new Linear has no parameter called weight"
    check_truncated_normal(state["parameters"]["weight"], (2 / 550) ** 0.5, "the weight of a new Linear(150, 400)")


@pytest.mark.edge
@pytest.mark.own_adapter
def test_weight_learns(submission):
    """The gradient of the output reaches the weight."""
    example = Draw(0, "linear").normal(5, 150)
    gradients = submission.module_gradients(factory="get_linear_module", config=CONFIG, seed=0, example=example)
    gradient = gradients.get("weight")
    assert gradient is not None, "no gradient arrives at the weight"
    assert torch.count_nonzero(gradient) > 0, "the gradient of the weight is zero everywhere"


@pytest.mark.edge
@pytest.mark.own_adapter
def test_device_and_dtype(submission):
    """A new Linear has its weight on the device and in the dtype that are asked for."""
    check_placement(submission, "get_linear_module", CONFIG, "a new Linear")
