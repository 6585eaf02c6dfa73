"""AdamW: every test gives gradients for a few steps and compares the parameters after each of them."""

import pytest
import torch


@pytest.mark.cases
def test_moments(submission, case):
    """AdamW steps along the bias-corrected mean of the gradients, divided by the root of that of their squares.

    Asked: problem adamw, the algorithm's moment and update lines.
    """
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.cases("decay")
def test_weight_decay(submission, case):
    """Weight decay shrinks every parameter by lr * weight_decay of itself, apart from the gradient.

    Asked: problem adamw, the algorithm's line for weight decay.
    """
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.cases("several")
def test_several_parameters(submission, case):
    """Several parameters, of whatever shapes, each have moments and a count of steps of their own.

    Asked: problem adamw, a torch.optim.Optimizer over all parameters of a model.
    """
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.cases("eps")
def test_eps(submission, case):
    """eps is the one that was passed, and is added to the square root, not under it.

    Asked: problem adamw, the hyperparameter eps in the update line.
    """
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.cases("frozen")
def test_parameters_without_gradient(submission, case):
    """A parameter whose grad is None is left alone: no step and no decay; the others move.

    Asked: the handout's example of an optimizer, which skips such parameters.
    """
    case.check(submission.adamw_trajectory(**case.inputs))
    decaying = {**case.inputs["options"], "weight_decay": 0.5}
    last = list(submission.adamw_trajectory(**{**case.inputs, "options": decaying}).values())[-1]
    for i, (given, gradient) in enumerate(zip(case.inputs["parameters"], case.inputs["gradients"][0], strict=True)):
        if gradient is None:
            assert torch.equal(last[f"parameter {i}"], given), f"parameter {i} has no gradient, yet it was decayed"


@pytest.mark.edge
@pytest.mark.cases("own_steps")
def test_steps_are_counted_per_parameter(submission, case):
    """A parameter that has no gradient at some steps counts only the steps at which it has one.

    Asked: the handout's example of an optimizer, which keeps the count in each parameter's state.
    """
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("groups")
def test_parameter_groups(submission, case):
    """Every parameter group has its own learning rate, betas and weight decay.

    Asked: the handout's example of an optimizer, which reads its options from each group.
    """
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("scheduled")
def test_learning_rate_from_param_groups(submission, case):
    """A learning rate that a schedule writes into param_groups holds from the next step on.

    Asked: problem training_together needs it: the schedule sets the rate of every step.
    """
    assert submission.adamw_is_optimizer(), (
        "the class does not derive from torch.optim.Optimizer, so it has no param_groups that a schedule could write to"
    )
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("resumed")
def test_state_dict_round_trip(submission, case):
    """After state_dict was saved and loaded into a new optimizer, training goes on as if nothing had happened.

    Asked: problem checkpointing needs it: the optimizer's state_dict is saved and loaded.
    """
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("left_alone")
def test_gradients_stay(submission, case):
    """A step changes parameters and moments, never the gradients: whoever reads them after it finds them as they were.

    Asked: plain safety: gradients belong to the caller, who zeroes them, accumulates into them and logs their norm.
    """
    case.check(submission.adamw_gradients_after_step(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("corners")
def test_corner_options(submission, case):
    """weight_decay = 0 and a beta1 of 0 are options like others.

    Asked: nowhere; the assignment's optimizer decays and averages. Groups without decay are usual elsewhere.
    """
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("closure")
def test_closure(submission, case):
    """step(closure) computes the gradients by calling the closure, and returns its loss.

    Asked: nowhere as such; the handout's example of an optimizer does so, and so do all in torch.optim.
    """
    case.check(submission.adamw_step_with_closure(**case.inputs))
