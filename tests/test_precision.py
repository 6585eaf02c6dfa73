"""Training in few bits: rounding to a format, accumulation in it, loss scaling with skipped steps, master weights."""

import math

import pytest
import torch

from grader.checks.refusals import check_refused
from grader.checks.untouched import check_untouched

pytestmark = pytest.mark.own_adapter


@pytest.mark.cases("normal")
def test_normal_numbers(submission, case):
    """A number is rounded to the nearest one that has so many bits behind the first.

    Asked: problem precision, the documentation of round_to_format.
    """
    case.check(submission.run_round_to_format(**case.inputs))


@pytest.mark.cases("ties")
def test_ties(submission, case):
    """Halfway between two numbers, the one whose last bit is 0 is taken.

    Asked: problem precision, "the one with the even i".
    """
    case.check(submission.run_round_to_format(**case.inputs))


@pytest.mark.cases("small")
def test_subnormal_numbers(submission, case):
    """Below the smallest power of two, numbers lie as far apart as just above it, down to 0.

    Asked: problem precision, the subnormal numbers.
    """
    case.check(submission.run_round_to_format(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("tiny")
def test_tiny_numbers(submission, case):
    """Formats with the exponents of float32 have subnormal numbers, too, where float32 itself has few bits left.

    Asked: problem precision, the subnormal numbers.
    """
    case.check(submission.run_round_to_format(**case.inputs))


@pytest.mark.cases("large")
def test_overflow(submission, case):
    """What would be rounded to a power of two that the format lacks is infinite, and what lies below stays finite.

    Asked: problem precision, the documentation of round_to_format.
    """
    case.check(submission.run_round_to_format(**case.inputs))


@pytest.mark.cases("wide")
def test_wide_accumulator(submission, case):
    """With a wide accumulator, matrices are rounded, and their product once.

    Asked: problem precision, the documentation of rounded_matmul.
    """
    case.check(submission.run_rounded_matmul(**case.inputs))


@pytest.mark.cases("narrow")
def test_narrow_accumulator(submission, case):
    """Without a wide accumulator, each product and each sum is rounded, in the order of k.

    Asked: problem precision, the documentation of rounded_matmul.
    """
    case.check(submission.run_rounded_matmul(**case.inputs))


@pytest.mark.cases("scaler")
def test_scaler_divides(submission, case):
    """Gradients are divided by the factor that the loss was multiplied by.

    Asked: problem precision, the documentation of LossScaler.
    """
    case.check(submission.run_loss_scaler(**case.inputs))


@pytest.mark.cases("overflow")
def test_scaler_halves(submission, case):
    """Where a gradient is infinite or NaN, the step is left out, and the factor halved.

    Asked: problem precision, the documentation of LossScaler.
    """
    case.check(submission.run_loss_scaler(**case.inputs))


@pytest.mark.cases("growth")
def test_scaler_doubles(submission, case):
    """After so many good steps in a row, the factor is doubled, and counting begins anew.

    Asked: problem precision, the documentation of LossScaler.
    """
    case.check(submission.run_loss_scaler(**case.inputs))


@pytest.mark.cases("master")
def test_master_weights(submission, case):
    """Steps add up in float32, and the model gets the result rounded.

    Asked: problem precision, the documentation of MasterWeights.
    """
    case.check(submission.run_master_weights(**case.inputs))


@pytest.mark.cases("steps")
def test_skipped_steps(submission, case):
    """A step with a gradient that is not finite changes no weight, and the next one is made with half the factor.

    Asked: problem precision, the documentation of mixed_precision_step.
    """
    case.check(submission.run_mixed_precision_steps(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half_gradients")
def test_unscaled_in_float32(submission, case):
    """Gradients in float16 are divided in float32, where they do not become 0 again.

    Asked: problem precision, "in float32 at least".
    """
    case.check(submission.run_mixed_precision_steps(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("special")
def test_infinity_and_nan(submission, case):
    """Infinity and NaN stay what they are.

    Asked: problem precision, the documentation of round_to_format.
    """
    case.check(submission.run_round_to_format(**case.inputs))
    given = {**case.inputs, "in_features": torch.tensor([1.5, torch.nan])}
    rounded = submission.run_round_to_format(**given).tolist()
    assert rounded[0] == 1.5, f"beside a NaN, 1.5 becomes {rounded[0]}"
    assert math.isnan(rounded[1]), f"NaN becomes {rounded[1]}"


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """Numbers, gradients and first weights are afterwards what they were.

    Asked: plain safety: inputs belong to the caller.
    """
    names = ("in_features", "a", "b", "weights", "gradients")
    check_untouched(submission, case, *(name for name in names if name in case.inputs["inputs"]))


@pytest.mark.edge
def test_impossible_settings(submission):
    """Formats without exponent or mantissa, and scalers that cannot work, raise ValueError, which has the number.

    Asked: the documentation of round_to_format and LossScaler.
    """
    x = torch.tensor([0.5, -3.0])
    assert submission.run_round_to_format(in_features=x, exponent_bits=4, mantissa_bits=3).shape == (2,)
    given = {"in_features": x, "exponent_bits": 1, "mantissa_bits": 3}
    check_refused(submission, "run_round_to_format", given, "exponent_bits = 1", 1)
    given = {"in_features": x, "exponent_bits": 5, "mantissa_bits": 52}
    check_refused(submission, "run_round_to_format", given, "mantissa_bits = 52", 52)
    check_refused(submission, "run_loss_scaler", {"scale": 8.0, "growth_interval": -2, "gradients": []}, "-2 steps", -2)
