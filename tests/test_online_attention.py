"""Attention by chunks of keys, with a running maximum and sum: the same result, and never all scores at once."""

from typing import Any

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare
from grader.checks.refusals import check_refused
from grader.checks.untouched import inputs_after

pytestmark = pytest.mark.own_adapter


@pytest.mark.cases("one_chunk")
def test_one_chunk(submission, case):
    """With all keys in one chunk, it is scaled dot-product attention.

    Asked: problem online_attention: the output is that of attention.
    """
    case.check(submission.run_online_attention(**case.inputs))


@pytest.mark.cases("equal")
def test_equal_scores(submission, case):
    """If all scores are equal, the output is the plain average of the values, in chunks of the same size.

    Asked: problem online_attention: the output is that of attention.
    """
    case.check(submission.run_online_attention(**case.inputs))


@pytest.mark.cases("falling")
def test_falling_scores(submission, case):
    """Where the first chunk has the largest scores, later chunks count for less.

    Asked: problem online_attention, the formulas.
    """
    case.check(submission.run_online_attention(**case.inputs))


@pytest.mark.cases("rising")
def test_rising_scores(submission, case):
    """Whenever a larger score appears, what was summed up so far is corrected.

    Asked: problem online_attention, the formulas.
    """
    case.check(submission.run_online_attention(**case.inputs))


@pytest.mark.cases("shorter")
def test_shorter_last_chunk(submission, case):
    """The last chunk may be shorter than the others.

    Asked: problem online_attention, the argument chunk_size.
    """
    case.check(submission.run_online_attention(**case.inputs))


@pytest.mark.cases("large")
def test_large_scores(submission, case):
    """Scores whose exponential overflows still give the right average.

    Asked: problem online_attention, the running maximum.
    """
    case.check(submission.run_online_attention(**case.inputs))


def test_scores_held(submission):
    """At no time are there more scores than those of a chunk, not even in pieces.

    Asked: problem online_attention: never more than the scores of one chunk.
    """
    draw, queries, keys = Draw(0, "scores held"), 32, 1024
    given: dict[str, Any] = {"Q": draw.normal(queries, 4), "K": draw.normal(keys, 4), "V": draw.normal(keys, 4)}
    seen = submission.numbers_held(adapter="run_online_attention", inputs={**given, "chunk_size": 16, "causal": False})
    output = seen["output"]
    assert getattr(output, "shape", None) == (queries, 4), f"the output has the shape {getattr(output, 'shape', None)}"
    scores = queries * keys
    assert seen["held"] <= scores // 2, (
        f"for {queries} queries and {keys} keys in chunks of 16, tensors held {seen['held']:,} numbers at one time; "
        f"all scores together are {scores:,}, and those of a chunk {16 * queries:,}"
    )


@pytest.mark.edge
@pytest.mark.relation
def test_any_chunk_size(submission):
    """The size of the chunks does not change the output.

    Asked: problem online_attention: the output is that of attention.
    """
    draw = Draw(0, "any chunk size")
    given = {"Q": draw.normal(2, 3, 4), "K": draw.normal(2, 12, 4), "V": draw.normal(2, 12, 4)}
    whole = submission.run_online_attention(**given, chunk_size=12)
    assert whole.abs().max() > 1e-3, "the output is 0"
    for size in (1, 4, 6):
        compare(whole, submission.run_online_attention(**given, chunk_size=size), Tolerance(1e-4), f"chunks of {size}")


@pytest.mark.edge
@pytest.mark.cases("low")
def test_low_scores(submission, case):
    """Scores far below 0, whose exponential is 0 in float32, still give the right average.

    Asked: problem online_attention, the running maximum: it begins at minus infinity, not at 0.
    """
    case.check(submission.run_online_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("causal")
def test_causal(submission, case):
    """With causal, query i sees only the keys 0 to i, in whichever chunk they are.

    Asked: problem online_attention, the argument causal.
    """
    case.check(submission.run_online_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("last_queries")
def test_last_queries(submission, case):
    """With causal and fewer queries than keys, queries are the last of the positions.

    Asked: problem online_attention, the argument causal.
    """
    case.check(submission.run_online_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Queries, keys and values of all chunks get their gradients.

    Asked: what comes before attention must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """bfloat16 inputs give a bfloat16 output, computed from sums in float32.

    Asked: problem online_attention: scores and sums are float32.
    """
    case.check(submission.run_online_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """All inputs are afterwards what they were.

    Asked: plain safety: inputs belong to the caller.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
def test_impossible_settings(submission):
    """A chunk_size below 1, and more causal queries than keys, raise ValueError, whose message has the numbers.

    Asked: the documentation of online_attention.
    """
    given: dict[str, Any] = {"Q": torch.ones(5, 2), "K": torch.ones(3, 2), "V": torch.ones(3, 2), "chunk_size": 2}
    adapter = "run_online_attention"
    assert submission.run_online_attention(**given, causal=False).shape == (5, 2)
    check_refused(submission, adapter, given | {"chunk_size": 0, "causal": False}, "chunks of 0 keys", 0)
    check_refused(submission, adapter, given | {"causal": True}, "5 causal queries for 3 keys", 5, 3)
