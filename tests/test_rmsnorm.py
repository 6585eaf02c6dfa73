"""RMSNorm: x / sqrt(mean(x^2) + eps) * gain, over the last dimension."""

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.placement import check_placement

CONFIG = {"d_model": 24, "eps": 1e-5}


@pytest.mark.cases
def test_matches_reference(submission, case):
    """RMSNorm divides by the root mean square of the last dimension and scales by the gain."""
    case.check(submission.run_rmsnorm(**case.inputs))


@pytest.mark.cases("eps")
def test_eps(submission, case):
    """The given eps is added to the mean square, under the root, so that a vector of zeros stays finite."""
    case.check(submission.run_rmsnorm(**case.inputs))


@pytest.mark.cases("shapes")
def test_any_leading_dimensions(submission, case):
    """The input may have any number of leading dimensions, or none."""
    case.check(submission.run_rmsnorm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter."""
    case.check(submission.run_rmsnorm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """float16 and bfloat16 inputs are normalised in float32 and come back in their own dtype."""
    case.check(submission.run_rmsnorm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """RMSNorm returns a new tensor and leaves its input and the gain as they were."""
    case.check(submission.inputs_after(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through the norm as well as through the numerator."""
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.own_adapter
def test_gain_starts_at_one(submission):
    """A new RMSNorm has one trainable parameter, `weight`, and every gain in it is 1."""
    state = submission.module_state(factory="get_rmsnorm_module", config=CONFIG, seed=0)
    assert list(state["parameters"]) == ["weight"], f"parameters are {list(state['parameters'])}, not ['weight']"
    assert state["requires_grad"] == {"weight": True}, "the gain has requires_grad=False, so it would never be trained"
    gain = state["parameters"]["weight"]
    assert gain.shape == (24,), f"the gain has shape {tuple(gain.shape)}, not (24,)"
    assert torch.equal(gain, torch.ones(24)), "the gains of a new RMSNorm are not all 1"


@pytest.mark.edge
@pytest.mark.own_adapter
def test_gain_learns(submission):
    """The gradient of the output reaches every gain."""
    example = Draw(0, "rmsnorm").normal(5, 24)
    gradients = submission.module_gradients(factory="get_rmsnorm_module", config=CONFIG, seed=0, example=example)
    gradient = gradients.get("weight")
    assert gradient is not None, "no gradient arrives at the gain"
    assert torch.count_nonzero(gradient) == 24, f"{int((gradient == 0).sum())} of 24 gains have a gradient of zero"


@pytest.mark.edge
@pytest.mark.own_adapter
def test_device_and_dtype(submission):
    """A new RMSNorm has its gain on the device and in the dtype that are asked for."""
    check_placement(submission, "get_rmsnorm_module", CONFIG, "a new RMSNorm")
