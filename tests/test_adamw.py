"""AdamW: every test gives gradients for a few steps and compares the parameters after each of them."""

import pytest
import torch


@pytest.mark.cases
def test_moments(submission, case):
    """AdamW steps along the bias-corrected mean of the gradients, divided by the root of that of their squares."""
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.cases("decay")
def test_weight_decay(submission, case):
    """Weight decay shrinks every parameter by lr * weight_decay of itself, apart from the gradient."""
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.cases("several")
def test_several_parameters(submission, case):
    """Several parameters, of whatever shapes, each have moments and a count of steps of their own."""
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.cases("eps")
def test_eps(submission, case):
    """eps is the one that was passed, and is added to the square root, not under it."""
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.cases("frozen")
def test_parameters_without_gradient(submission, case):
    """A parameter whose grad is None is left alone: no step and no decay; the others move."""
    case.check(submission.adamw_trajectory(**case.inputs))
    decaying = {**case.inputs["options"], "weight_decay": 0.5}
    last = list(submission.adamw_trajectory(**{**case.inputs, "options": decaying}).values())[-1]
    for i, (given, gradient) in enumerate(zip(case.inputs["parameters"], case.inputs["gradients"][0], strict=True)):
        if gradient is None:
            assert torch.equal(last[f"parameter {i}"], given), f"parameter {i} has no gradient, yet it was decayed"


@pytest.mark.edge
@pytest.mark.cases("own_steps")
def test_steps_are_counted_per_parameter(submission, case):
    """A parameter that has no gradient at some steps counts only the steps at which it has one."""
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("groups")
def test_parameter_groups(submission, case):
    """Every parameter group has its own learning rate, betas and weight decay."""
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("scheduled")
def test_learning_rate_from_param_groups(submission, case):
    """A learning rate that a schedule writes into param_groups holds from the next step on."""
    assert submission.adamw_is_optimizer(), (
        "the class does not derive from torch.optim.Optimizer, so it has no param_groups that a schedule could write to"
    )
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("resumed")
def test_state_dict_round_trip(submission, case):
    """After state_dict was saved and loaded into a new optimizer, training goes on as if nothing had happened."""
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("closure")
def test_closure(submission, case):
    """step(closure) computes the gradients by calling the closure, and returns its loss."""
    case.check(submission.adamw_step_with_closure(**case.inputs))
