"""Accounting of training with AdamW: memory, batch size, FLOPs and days.

Every quantity is defined in the docstrings of `accounting.py`; where they leave a choice, the tests do too. Where a
quantity is put together from others, what follows from your own is right as well, so that one mistake costs once.
"""

import numbers

import pytest

from grader.checks.counts import check_account, check_counts, describe, follows

pytestmark = pytest.mark.own_adapter

OF_THE_GATE = {"w3", "gate"}
"""What a feed-forward network without a gate, as in the handout of 2025, does not have."""

PER_PARAMETER = 14
CHOICE = 2


def memory_of(parameter_counts, activation_counts):
    """Bytes of training with so many parameters and activations."""
    parameters = 4 * sum(parameter_counts.values())
    activations = 4 * sum(activation_counts.values())
    return {
        "parameters": parameters,
        "gradients": parameters,
        "optimizer_state": 2 * parameters,
        "activations": activations,
    }


def training_of(case, matmul_flops):
    """FLOPs of a training step with these matrix multiplies in the forward pass of every sequence."""
    return 3 * case.inputs["options"]["batch_size"] * sum(matmul_flops.values())


def check_largest_batch(submission, case):
    """The batch size is right, or the largest that fits by the student's own account of the memory."""
    config, memory_bytes = case.inputs["config"], case.inputs["options"]["memory_bytes"]

    def fits(batch_size):
        own = submission.run_training_memory(config=config, batch_size=batch_size)
        return sum(own.values()) <= memory_bytes

    def is_largest(wanted, training_memory):
        return type(wanted) is int and (fits(wanted) if wanted > 0 else wanted == 0) and not fits(wanted + 1)

    found = submission.accounted(**case.inputs)
    try:
        check_counts(case.expected["wanted"], found["wanted"], describe(case))
    except AssertionError:
        if not follows(case, found, is_largest):
            raise


@pytest.mark.cases("activation_counts")
def test_activation_counts(submission, case):
    """Each operation on the list keeps its output for the backward pass, and nothing else counts.

    Asked: problem adamw_accounting (a), its list of activations.
    """
    expected, found = case.expected, submission.run_activation_counts(**case.inputs)
    if isinstance(found, dict) and OF_THE_GATE.isdisjoint(found):
        expected = {name: count for name, count in expected.items() if name not in OF_THE_GATE}
    check_counts(expected, found, describe(case))


@pytest.mark.cases("training_memory")
def test_training_memory(submission, case):
    """At its peak, training holds parameters, gradients, AdamW's two moments and activations, all in float32.

    Asked: problem adamw_accounting (a).
    """
    check_account(case, submission.accounted(**case.inputs), memory_of)


@pytest.mark.cases("max_batch_size")
def test_max_batch_size(submission, case):
    """max_batch_size is the largest batch size whose peak memory fits.

    Asked: problem adamw_accounting (b).
    """
    check_largest_batch(submission, case)


@pytest.mark.cases("adamw_flops")
def test_adamw_flops(submission, case):
    """A step of AdamW takes a fixed number of operations per parameter, about 14.

    Asked: problem adamw_accounting (c).
    """
    found = submission.accounted(**case.inputs)
    wanted, parameters = found["wanted"], case.expected["wanted"] / PER_PARAMETER
    what, sizes = describe(case)
    assert isinstance(wanted, numbers.Real), f"{what}: expected a number, got {type(wanted).__name__}"

    def is_near(flops, parameters):
        return abs(flops - PER_PARAMETER * parameters) <= CHOICE * parameters

    is_right = is_near(wanted, parameters) or follows(
        case, found, lambda wanted, parameter_counts: is_near(wanted, sum(parameter_counts.values()))
    )
    assert is_right, (
        f"{what}: the formulas have {PER_PARAMETER} operations for each parameter, and {CHOICE} more or less would do; "
        f"got {wanted:,}, or {wanted / parameters:.4g} for each of {parameters:,.0f} parameters\nfor {sizes}"
    )


@pytest.mark.cases("training_flops")
def test_training_flops(submission, case):
    """A training step takes the FLOPs of the forward pass, plus twice as many for the backward pass.

    Asked: problem adamw_accounting (d): the backward pass takes twice the forward pass.
    """
    check_account(case, submission.accounted(**case.inputs), lambda matmul_flops: training_of(case, matmul_flops))


@pytest.mark.cases("training_days")
def test_training_days(submission, case):
    """Training takes the FLOPs of all steps, divided by the hardware's FLOP/s at the given MFU, in days.

    Asked: problem adamw_accounting (d).
    """
    options = case.inputs["options"]
    flops_per_day = 86_400 * options["mfu"] * options["peak_flops_per_second"]
    found = submission.accounted(**case.inputs)
    check_account(case, found, lambda training_flops: options["steps"] * training_flops / flops_per_day)


@pytest.mark.edge
@pytest.mark.cases("exact_fit")
def test_exact_fit(submission, case):
    """A batch that takes exactly the available memory fits; with one byte less memory, it does not.

    Asked: the documentation of max_batch_size.
    """
    check_largest_batch(submission, case)


@pytest.mark.edge
@pytest.mark.cases("nothing_fits")
def test_nothing_fits(submission, case):
    """If not even one sequence fits, the largest batch size is 0.

    Asked: the documentation of max_batch_size.
    """
    check_largest_batch(submission, case)


@pytest.mark.edge
@pytest.mark.cases("exact")
def test_whole_numbers(submission, case):
    """Counts are ints, and exact even where floats cannot represent every whole number.

    Asked: plain safety: counts of things are whole numbers.
    """
    rules = {"training_memory": memory_of, "training_flops": lambda matmul_flops: training_of(case, matmul_flops)}
    check_account(case, submission.accounted(**case.inputs), rules[case.inputs["wanted"]], exact=True)


@pytest.mark.edge
@pytest.mark.cases("max_batch_size")
def test_batch_size_is_int(submission, case):
    """The largest batch size is an int.

    Asked: the documentation of max_batch_size.
    """
    found = submission.accounted(**case.inputs)["wanted"]
    assert isinstance(found, int), f"expected an int, got {found!r} of type {type(found).__name__}"
    assert found > 0, f"expected a batch size of {case.expected['wanted']}, got {found}"
