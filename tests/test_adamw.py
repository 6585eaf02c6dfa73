"""AdamW: every test gives gradients for a few steps and compares the parameters after each of them.

Whether the moments are right is one claim. What others are about (several parameters, groups, schedules, resuming) they
compare with what the same optimizer does to each parameter alone, so that one mistake costs once.
"""

import pytest
import torch


def alone(submission, inputs, index, **changes):
    """The course of one parameter of a case, by itself, with the gradients that it has there."""
    gradients = [[step[index]] for step in inputs["gradients"]]
    given = {"parameters": [inputs["parameters"][index]], "gradients": gradients, "options": inputs["options"]}
    return [step["parameter 0"] for step in submission.adamw_trajectory(**(given | changes)).values()]


def together(submission, inputs):
    """The courses of all parameters of a case: one list for each."""
    steps = list(submission.adamw_trajectory(**inputs).values())
    return [[step[f"parameter {i}"] for step in steps] for i in range(len(inputs["parameters"]))]


def check_alike(expected, found, what):
    """Two courses are the same, up to rounding."""
    assert len(expected) == len(found), f"{what}: {len(found)} steps, where there should be {len(expected)}"
    for step, (right, own) in enumerate(zip(expected, found, strict=True), start=1):
        off = float((right - own).abs().max())
        allowed = 5e-5 * (1 + float(right.abs().max()))
        assert off <= allowed, f"{what}: after step {step} it is off by {off:.3g}"


def options_of(inputs, index):
    """A case's options with those of the group that a parameter is in."""
    group = next((group for group in inputs.get("groups") or () if index in group["members"]), {})
    return inputs["options"] | {key: value for key, value in group.items() if key != "members"}


@pytest.mark.cases
def test_moments(submission, case):
    """AdamW moves by the bias-corrected mean of the gradients, divided by the root of that of their squares.

    Asked: problem adamw, the algorithm's moment and update lines.
    """
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.cases("decay")
def test_weight_decay(submission, case):
    """Weight decay shrinks every parameter by lr * weight_decay of its value, independently of the gradient.

    Asked: problem adamw, the algorithm's line for weight decay.
    """
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.cases("generator")
def test_generator_of_parameters(submission, case):
    """The parameters may be a generator such as model.parameters(), which can be read only once.

    Asked: problem adamw: an optimizer is made from the parameters of a model.
    """
    listed = together(submission, case.inputs | {"as_generator": False})
    for i, (expected, course) in enumerate(zip(listed, together(submission, case.inputs), strict=True)):
        check_alike(expected, course, f"parameter {i} from a generator, and from a list")


@pytest.mark.cases("several")
def test_several_parameters(submission, case):
    """There may be several parameters of any shapes; each has its own moments and step count.

    Asked: problem adamw, a torch.optim.Optimizer over all parameters of a model.
    """
    for i, course in enumerate(together(submission, case.inputs)):
        assert not torch.equal(course[-1], case.inputs["parameters"][i]), f"parameter {i} does not move"
        check_alike(alone(submission, case.inputs, i), course, f"parameter {i} beside others, and alone")


@pytest.mark.cases("eps")
def test_eps(submission, case):
    """eps has the given value and is added to the square root, not under it.

    Asked: problem adamw, the hyperparameter eps in the update line.
    """
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("frozen")
def test_parameters_without_gradient(submission, case):
    """A parameter whose grad is None stays unchanged, without a step or decay; the others move.

    Asked: the handout's example of an optimizer, which skips such parameters; the algorithm itself gives all of them
    gradients, and so does the assignment's model.
    """
    courses = together(submission, case.inputs)
    decaying = {**case.inputs, "options": {**case.inputs["options"], "weight_decay": 0.5}}
    decayed = together(submission, decaying)
    for i, (given, gradient) in enumerate(zip(case.inputs["parameters"], case.inputs["gradients"][0], strict=True)):
        if gradient is None:
            for course, what in ((courses[i], "moved"), (decayed[i], "decayed")):
                assert torch.equal(course[-1], given), f"parameter {i} has no gradient, yet it {what}"
        else:
            assert not torch.equal(courses[i][-1], given), f"parameter {i} has a gradient, and does not move"
            check_alike(alone(submission, case.inputs, i), courses[i], f"parameter {i} beside one without gradient")


@pytest.mark.advice
@pytest.mark.cases("own_steps")
def test_steps_are_counted_per_parameter(submission, case):
    """A parameter counts only the steps at which it has a gradient.

    Asked: nowhere; the handout's example of an optimizer counts in each parameter's state. Where all parameters have
    gradients at every step, as in the assignment's model, one count for all is the same.
    """
    for i, course in enumerate(together(submission, case.inputs)):
        gradients = [step[i] for step in case.inputs["gradients"]]
        kept = [at for at, gradient in enumerate(gradients) if gradient is not None]
        steps = alone(submission, case.inputs, i, gradients=[[gradients[at]] for at in kept])
        check_alike(steps, [course[at] for at in kept], f"parameter {i}, with steps without gradient in between")


@pytest.mark.edge
@pytest.mark.cases("groups")
def test_parameter_groups(submission, case):
    """Every parameter group has its own learning rate, betas and weight decay.

    Asked: the handout's example of an optimizer, which reads its options from each group.
    """
    for i, course in enumerate(together(submission, case.inputs)):
        expected = alone(submission, case.inputs, i, options=options_of(case.inputs, i))
        check_alike(expected, course, f"parameter {i} in its group, and in an optimizer with that group's options")


@pytest.mark.edge
@pytest.mark.cases("scheduled")
def test_learning_rate_from_param_groups(submission, case):
    """A learning rate that a schedule writes into param_groups applies from the next step on.

    Asked: problem training_together needs it: the schedule sets the rate of every step.
    """
    assert submission.adamw_is_optimizer(), (
        "the class does not derive from torch.optim.Optimizer, so it has no param_groups that a schedule could write to"
    )
    groups = case.inputs.get("groups") or [{"members": range(len(case.inputs["parameters"]))}]
    for i, course in enumerate(together(submission, case.inputs)):
        place = next(number for number, group in enumerate(groups) if i in group["members"])
        options = options_of(case.inputs, i)
        usual = alone(submission, case.inputs, i, options=options)
        # The gradients are given, so a step is as long as its rate, compared with the step at a rate that stays.
        rate, expected, before = options["lr"], [], case.inputs["parameters"][i]
        for step, after in enumerate(usual):
            rates = case.inputs["learning_rates"].get(step)
            rate = rate if rates is None else rates[place]
            moved = after - (usual[step - 1] if step else before)
            expected.append((expected[-1] if step else before) + moved * (rate / options["lr"]))
        check_alike(expected, course, f"parameter {i}, with the rates that the schedule writes")


@pytest.mark.edge
@pytest.mark.cases("decay_scheduled")
def test_decay_follows_the_schedule(submission, case):
    """Weight decay uses the current learning rate, not the first one.

    Asked: problem adamw, the algorithm's line for weight decay; problem learning_rate_schedule.
    """
    case.check(submission.adamw_trajectory(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("resumed")
def test_state_dict_round_trip(submission, case):
    """After loading a saved state_dict into a new optimizer, training continues as if nothing had happened.

    Asked: problem checkpointing needs it: the optimizer's state_dict is saved and loaded.
    """
    whole = {key: value for key, value in case.inputs.items() if key != "reload_after"}
    for i, (expected, course) in enumerate(
        zip(together(submission, whole), together(submission, case.inputs), strict=True)
    ):
        check_alike(expected, course, f"parameter {i} with its optimizer saved and loaded, and without")


@pytest.mark.edge
@pytest.mark.cases("left_alone")
def test_gradients_stay(submission, case):
    """A step changes parameters and moments, but never the gradients.

    Asked: plain safety: gradients belong to the caller, who zeroes them, accumulates into them and logs their norm.
    """
    found = submission.adamw_gradients_after_step(**case.inputs)
    for i, (given, left) in enumerate(zip(case.inputs["gradients"], found["gradients"], strict=True)):
        assert left is not None, f"the gradient of parameter {i} is None after the step"
        assert torch.equal(given, left), f"the gradient of parameter {i} is another one after the step"


@pytest.mark.advice
@pytest.mark.cases("corners")
def test_corner_options(submission, case):
    """weight_decay = 0 and beta1 = 0 are valid options.

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
