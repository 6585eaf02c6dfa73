"""Accounting of training with AdamW: memory, batch size, FLOPs and days.

Every quantity is defined in the docstrings of `accounting.py`; where they leave a choice, the tests do too.
"""

import numbers

import pytest

from grader.cases.counts import check_counts

pytestmark = pytest.mark.own_adapter

PER_PARAMETER = 14
CHOICE = 2


def check(case, found, exact=False):
    """What was calculated is what should have come out, for the case's sizes."""
    check_counts(case.expected, found, describe(case), exact)


def describe(case):
    sizes = ", ".join(f"{name} = {value:,}" for name, value in case.inputs["config"].items())
    others = "".join(f", {name} = {value:,}" for name, value in case.inputs.items() if name != "config")
    return f"{case.operation.removeprefix('run_')} for {sizes}{others}"


@pytest.mark.cases("activation_counts")
def test_activation_counts(submission, case):
    """Each operation on the list keeps its output for the backward pass, and nothing else counts."""
    check(case, submission.run_activation_counts(**case.inputs))


@pytest.mark.cases("training_memory")
def test_training_memory(submission, case):
    """At its peak, training holds parameters, gradients, both moments of AdamW, and activations, all in float32."""
    check(case, submission.run_training_memory(**case.inputs))


@pytest.mark.cases("max_batch_size")
def test_max_batch_size(submission, case):
    """The largest batch size is the largest whose peak memory still fits."""
    check(case, submission.run_max_batch_size(**case.inputs))


@pytest.mark.cases("adamw_flops")
def test_adamw_flops(submission, case):
    """A step of AdamW takes a fixed number of operations for each parameter, about 14."""
    found = submission.run_adamw_flops(**case.inputs)
    parameters = case.expected / PER_PARAMETER
    assert isinstance(found, numbers.Real), f"{describe(case)}: expected a number, got {type(found).__name__}"
    low, high = ((PER_PARAMETER + shift) * parameters for shift in (-CHOICE, CHOICE))
    assert low <= found <= high, (
        f"{describe(case)}: the formulas have {PER_PARAMETER} operations for each of {parameters:,.0f} parameters, or "
        f"{CHOICE} more or less, which is between {low:,.0f} and {high:,.0f}; got {found:,}, or "
        f"{found / parameters:.6g} for each parameter"
    )


@pytest.mark.cases("training_flops")
def test_training_flops(submission, case):
    """A training step takes the FLOPs of the forward pass, and twice as many for the backward pass."""
    check(case, submission.run_training_flops(**case.inputs))


@pytest.mark.cases("training_days")
def test_training_days(submission, case):
    """Training takes the FLOPs of all steps, divided by what the hardware delivers at the given MFU, in days."""
    check(case, submission.run_training_days(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("exact_fit")
def test_exact_fit(submission, case):
    """A batch that takes exactly the memory that there is fits, and with a byte less it does not."""
    check(case, submission.run_max_batch_size(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("nothing_fits")
def test_nothing_fits(submission, case):
    """Where not even one sequence fits, the largest batch size is 0."""
    check(case, submission.run_max_batch_size(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("exact")
def test_whole_numbers(submission, case):
    """Counts are ints, exact also where a float would skip whole numbers."""
    check(case, submission.perform(case.operation, case.inputs), exact=True)
