"""RMSNorm: x / sqrt(mean(x^2) + eps) * gain, over the last dimension."""

import pytest
import torch


@pytest.mark.cases
def test_matches_reference(submission, case):
    """RMSNorm divides by the root mean square of the last dimension and scales by the gain."""
    case.check(submission.run_rmsnorm(**case.inputs))


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
@pytest.mark.own_adapter
def test_gain_starts_at_one(submission):
    """A new RMSNorm has one parameter, `weight`, and every gain in it is 1."""
    state = submission.module_state(factory="get_rmsnorm_module", config={"d_model": 24, "eps": 1e-5}, seed=0)
    assert list(state["parameters"]) == ["weight"], f"parameters are {list(state['parameters'])}, not ['weight']"
    assert torch.equal(state["parameters"]["weight"], torch.ones(24)), "the gains of a new RMSNorm are not all 1"
