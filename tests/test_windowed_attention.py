"""Which keys a query sees (windows, strides, tokens that all see), and attention with a sink."""

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare
from grader.checks.refusals import check_refused
from grader.checks.untouched import inputs_after

pytestmark = pytest.mark.own_adapter


@pytest.mark.cases("window")
def test_window(submission, case):
    """A query sees as many keys as the window is wide, its own among them, and none after it.

    Asked: problem windowed_attention, the first line of the table.
    """
    case.check(submission.run_window_mask(**case.inputs))


@pytest.mark.cases("wide")
def test_wide_window(submission, case):
    """A window as wide as the sequence, or wider, is plain causal attention.

    Asked: problem windowed_attention, the first line of the table.
    """
    case.check(submission.run_window_mask(**case.inputs))


@pytest.mark.cases("stride")
def test_stride(submission, case):
    """Besides its window, a query sees every stride-th key before it, counted from its own.

    Asked: problem windowed_attention, the second line of the table.
    """
    case.check(submission.run_window_mask(**case.inputs))


@pytest.mark.cases("global")
def test_tokens_that_all_see(submission, case):
    """Besides its window, a query sees the first tokens, but none that comes after it.

    Asked: problem windowed_attention, the third line of the table.
    """
    case.check(submission.run_window_mask(**case.inputs))


@pytest.mark.cases("together")
def test_all_together(submission, case):
    """A key is seen if it is in the window, in the stride, or among the first tokens.

    Asked: problem windowed_attention, "at least one of these".
    """
    case.check(submission.run_window_mask(**case.inputs))


@pytest.mark.cases("sinks")
def test_sinks(submission, case):
    """The sink of a head takes part in the softmax, and its weight is dropped after it.

    Asked: problem windowed_attention, the formula.
    """
    case.check(submission.run_sink_attention(**case.inputs))


@pytest.mark.cases("masked_sinks")
def test_sinks_with_a_mask(submission, case):
    """The mask hides keys, and never the sink.

    Asked: problem windowed_attention, the formula.
    """
    case.check(submission.run_sink_attention(**case.inputs))


@pytest.mark.relation
def test_sink_that_is_far_away(submission):
    """A sink far below all scores changes nothing; one far above them leaves nothing.

    Asked: problem windowed_attention, the formula.
    """
    draw = Draw(0, "a sink far away")
    given = {name: draw.normal(2, 3, 4) for name in "QKV"} | {"mask": None}
    plain = torch.softmax(given["Q"] @ given["K"].mT / 2, -1) @ given["V"]
    without = submission.run_sink_attention(**given, sinks=torch.full((2,), -1e4))
    compare(plain, without, Tolerance(1e-4), "output with sinks of -10,000")
    nothing = submission.run_sink_attention(**given, sinks=torch.full((2,), 1e4))
    assert nothing.abs().max() < 1e-4, f"with sinks of 10,000, an output is {nothing.abs().max():.3g} and not 0"


@pytest.mark.edge
@pytest.mark.cases("large")
def test_large_scores(submission, case):
    """Scores and sinks may be large: the largest of them, the sink included, is taken away before the exponential.

    Asked: problem softmax: the result is finite for inputs of any size.
    """
    case.check(submission.run_sink_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("no_key")
def test_query_without_keys(submission, case):
    """A query that sees no key attends to the sink alone, and gives 0.

    Asked: the documentation of sink_attention.
    """
    case.check(submission.run_sink_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through queries, keys, values and sinks.

    Asked: sinks are learned.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """All inputs are afterwards what they were.

    Asked: plain safety: inputs belong to the caller.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
def test_impossible_windows(submission):
    """A window or stride below 1, and global tokens below 0, raise ValueError, whose message has the number.

    Asked: the documentation of window_mask.
    """
    assert submission.run_window_mask(seq_len=2, window=1).shape == (2, 2)
    check_refused(submission, "run_window_mask", {"seq_len": 4, "window": 0}, "a window of 0", 0)
    check_refused(submission, "run_window_mask", {"seq_len": 4, "window": 2, "stride": 0}, "a stride of 0", 0)
    given = {"seq_len": 4, "window": 2, "stride": None, "global_tokens": -3}
    check_refused(submission, "run_window_mask", given, "global_tokens of -3", -3)
