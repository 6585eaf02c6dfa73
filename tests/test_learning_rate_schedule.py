"""The cosine schedule with linear warm-up: rates by iteration."""

import pytest


@pytest.mark.cases("warmup")
def test_warmup(submission, case):
    """During the warm-up the rate rises linearly: it / warmup_iters * max_learning_rate, from 0 at iteration 0.

    Asked: problem learning_rate_schedule, the formula for t < T_w.
    """
    case.check(submission.learning_rates(**case.inputs))


@pytest.mark.cases("top")
def test_maximum(submission, case):
    """The rate is max_learning_rate at iteration warmup_iters.

    Asked: problem learning_rate_schedule, where the first two formulas meet.
    """
    case.check(submission.learning_rates(**case.inputs))


@pytest.mark.cases("cosine")
def test_cosine(submission, case):
    """Between the warm-up and the end of the cycle, the rate follows half a cosine down to min_learning_rate.

    Asked: problem learning_rate_schedule, the formula for T_w <= t <= T_c.
    """
    case.check(submission.learning_rates(**case.inputs))


@pytest.mark.cases("end")
def test_end(submission, case):
    """The rate is min_learning_rate at iteration cosine_cycle_iters.

    Asked: problem learning_rate_schedule, where the last two formulas meet.
    """
    case.check(submission.learning_rates(**case.inputs))


@pytest.mark.cases("after")
def test_after_the_cycle(submission, case):
    """After iteration cosine_cycle_iters the rate stays at min_learning_rate.

    Asked: problem learning_rate_schedule, the formula for t > T_c.
    """
    case.check(submission.learning_rates(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("no_warmup")
def test_no_warmup(submission, case):
    """With warmup_iters = 0, the cosine starts at iteration 0, just as after any other warm-up.

    Asked: problem learning_rate_schedule, the second formula with T_w = 0.
    """
    found = submission.learning_rates(**case.inputs)
    shift, schedule = 6, case.inputs["schedule"]
    later = schedule | {"warmup_iters": shift, "cosine_cycle_iters": schedule["cosine_cycle_iters"] + shift}
    own = submission.learning_rates(iterations=[it + shift for it in found], schedule=later)
    for it, rate in found.items():
        right, usual = case.expected[it], own[it + shift]
        assert any(rate == pytest.approx(one, rel=1e-4) for one in (right, usual)), (
            f"without warm-up the rate at iteration {it} is {rate}; so long after a warm-up it is {usual}"
        )


@pytest.mark.edge
@pytest.mark.cases("short")
def test_short_phases(submission, case):
    """The warm-up or the cosine may take a single iteration.

    Asked: problem learning_rate_schedule, the formulas with the smallest numbers for which they are defined.
    """
    case.check(submission.learning_rates(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("to_zero")
def test_minimum_of_zero(submission, case):
    """The rate may end at 0.

    Asked: problem learning_rate_schedule, the formulas with a minimum of 0.
    """
    case.check(submission.learning_rates(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("no_cosine")
def test_cycle_ends_with_warmup(submission, case):
    """When cosine_cycle_iters equals warmup_iters, the rate rises and then stays at min_learning_rate.

    Asked: nowhere; at that iteration the handout's own formula divides 0 by 0.
    """
    case.check(submission.learning_rates(**case.inputs))
    schedule = case.inputs["schedule"]
    corner = schedule["cosine_cycle_iters"]
    rate = submission.learning_rates(iterations=[corner], schedule=schedule)[corner]
    ends = schedule["max_learning_rate"], schedule["min_learning_rate"]
    assert any(rate == pytest.approx(end) for end in ends), (
        f"at iteration {corner} warm-up and cosine both end, so the rate is {ends[0]:g} or {ends[1]:g}; got {rate}"
    )
