"""ALiBi: slopes for any number of heads, and a bias that falls with the distance, inside causal attention."""

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare
from grader.checks.refusals import check_refused
from grader.checks.untouched import inputs_after

pytestmark = pytest.mark.own_adapter


@pytest.mark.cases("powers")
def test_slopes_of_powers_of_two(submission, case):
    """For a power of two, slopes are a geometric sequence that starts at 2^(-8/n) and ends at 2^-8.

    Asked: problem alibi, the slopes.
    """
    case.check(submission.run_alibi_slopes(**case.inputs))


@pytest.mark.cases("other")
def test_slopes_of_other_numbers(submission, case):
    """For another number of heads, slopes are those of the lower power of two, and every other one of the higher.

    Asked: problem alibi, the slopes.
    """
    case.check(submission.run_alibi_slopes(**case.inputs))


@pytest.mark.cases("attention")
def test_attention(submission, case):
    """The score of a key falls by its head's slope with each step of distance; then comes causal attention.

    Asked: problem alibi, the formula.
    """
    case.check(submission.run_alibi_attention(**case.inputs))


@pytest.mark.cases("last")
def test_last_query(submission, case):
    """Of equal scores, the nearest keys get the most: the weights of the last query fall geometrically.

    Asked: problem alibi, the formula.
    """
    output = submission.run_alibi_attention(**case.inputs)
    if getattr(output, "shape", None) != case.expected.shape:
        case.check(output)  # says what it is instead
    compare(case.expected[..., -1, :], output[..., -1, :], case.tolerance, "output of the last query")


@pytest.mark.edge
def test_causal(submission):
    """No output depends on a later token.

    Asked: problem alibi, causal attention.
    """
    draw = Draw(0, "causal attention with linear biases")
    given = {name: draw.normal(1, 2, 5, 4) for name in "QKV"}
    before = submission.run_alibi_attention(**given)
    later = {name: torch.cat([x[..., :2, :], draw.normal(1, 2, 3, 4)], -2) for name, x in given.items()}
    change = (submission.run_alibi_attention(**later) - before).abs().amax((0, 1, 3))
    assert change[:2].max() < 1e-4, "a change of the tokens from 2 on changes outputs before 2"
    assert change[2:].min() > 1e-5, "a change of the tokens from 2 on leaves an output from 2 on as it was"


@pytest.mark.edge
@pytest.mark.relation
def test_longer_sequences(submission):
    """A sequence that is continued keeps its outputs: a bias depends on the distance, and not on the length.

    Asked: problem alibi, the formula.
    """
    draw = Draw(0, "longer sequences")
    given = {name: draw.normal(2, 9, 4) for name in "QKV"}
    whole = submission.run_alibi_attention(**given)
    start = submission.run_alibi_attention(**{name: x[:, :4].contiguous() for name, x in given.items()})
    assert start.abs().max() > 1e-3, "the output is 0"
    compare(whole[:, :4], start, Tolerance(1e-4), "output for the first four tokens by themselves")


@pytest.mark.edge
@pytest.mark.cases("dtypes")
def test_dtypes(submission, case):
    """The output has the dtype of its inputs.

    Asked: problem alibi, as for scaled dot-product attention.
    """
    case.check(submission.run_alibi_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """All inputs are afterwards what they were.

    Asked: plain safety: inputs belong to the caller.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
def test_impossible_heads(submission):
    """A number of heads below 1 raises ValueError, whose message has it.

    Asked: the documentation of alibi_slopes.
    """
    assert submission.run_alibi_slopes(num_heads=2).shape == (2,)
    check_refused(submission, "run_alibi_slopes", {"num_heads": 0}, "0 heads", 0)
