"""Numbers of 8 and 4 bits: rounding to them, scales for tensors and for rows, and products of matrices."""

import math

import pytest
import torch

from grader.checks.refusals import check_refused
from grader.checks.untouched import check_untouched

pytestmark = pytest.mark.own_adapter


@pytest.mark.cases("e4m3")
def test_e4m3(submission, case):
    """e4m3 has 3 bits behind the first, subnormal numbers below 2^-6, and numbers up to 448.

    Asked: problem fp8, the table of formats.
    """
    case.check(submission.run_to_small_format(**case.inputs))


@pytest.mark.cases("e5m2")
def test_e5m2(submission, case):
    """e5m2 has 2 bits behind the first, subnormal numbers below 2^-14, and is infinite above 57,344.

    Asked: problem fp8, the table of formats.
    """
    case.check(submission.run_to_small_format(**case.inputs))


@pytest.mark.cases("e2m1")
def test_e2m1(submission, case):
    """e2m1 has the numbers 0, 0.5, 1, 1.5, 2, 3, 4 and 6 with both signs, and nothing above.

    Asked: problem fp8, the table of formats.
    """
    case.check(submission.run_to_small_format(**case.inputs))


@pytest.mark.cases("tensor")
def test_one_scale(submission, case):
    """With one scale, the largest number of the tensor becomes the largest of the format.

    Asked: problem fp8, the documentation of quantise.
    """
    case.check(submission.run_quantise(**case.inputs))


@pytest.mark.cases("rows")
def test_scales_of_rows(submission, case):
    """Each row has the scale of its own largest number.

    Asked: problem fp8, the documentation of quantise.
    """
    case.check(submission.run_quantise(**case.inputs))


@pytest.mark.cases("product")
def test_product(submission, case):
    """A product in a small format is that of the quantised matrices, times both scales.

    Asked: problem fp8, the documentation of small_matmul.
    """
    case.check(submission.run_small_matmul(**case.inputs))


@pytest.mark.cases("product_of_rows")
def test_product_with_scales_of_rows(submission, case):
    """Rows of the first matrix and columns of the second have their own scales.

    Asked: problem fp8, the documentation of small_matmul.
    """
    case.check(submission.run_small_matmul(**case.inputs))


@pytest.mark.edge
def test_e4m3_has_no_infinity(submission):
    """What e4m3 rounds to more than 448 is NaN, and 464 is not.

    Asked: problem fp8, the table of formats.
    """
    given = torch.tensor([464.0, -464.0, 465.0, -500.0, 1e6, torch.inf, torch.nan])
    rounded = submission.run_to_small_format(in_features=given, format="e4m3").tolist()
    assert rounded[:2] == [448.0, -448.0], f"464 and -464 become {rounded[0]} and {rounded[1]}, not 448 and -448"
    pairs = zip(given.tolist()[2:], rounded[2:], strict=True)
    numbers = [f"{before:g} becomes {after:g}" for before, after in pairs if not math.isnan(after)]
    assert not numbers, f"in e4m3, {', '.join(numbers)}, not NaN"


@pytest.mark.edge
@pytest.mark.cases("zeros")
def test_zeros(submission, case):
    """Where everything is 0, the scale is 1, and nothing becomes NaN.

    Asked: problem fp8, the documentation of quantise.
    """
    case.check(submission.run_quantise(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """The inputs are afterwards what they were.

    Asked: plain safety: inputs belong to the caller.
    """
    check_untouched(submission, case, *(name for name in ("in_features", "a", "b") if name in case.inputs["inputs"]))


@pytest.mark.edge
def test_impossible_settings(submission):
    """An unknown format, and matrices that do not fit, raise ValueError, whose message has what clashes.

    Asked: the documentation of to_small_format and small_matmul.
    """
    x = torch.tensor([0.5, -3.0])
    assert submission.run_to_small_format(in_features=x, format="e5m2").shape == (2,)
    check_refused(submission, "run_to_small_format", {"in_features": x, "format": "e3m5"}, "the format e3m5", "e3m5")
    given = {"a": torch.ones(2, 3), "b": torch.ones(5, 2), "format": "e5m2", "per_row": False}
    check_refused(submission, "run_small_matmul", given, "3 columns and 5 rows", 3, 5)
