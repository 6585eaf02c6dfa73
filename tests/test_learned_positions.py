"""A learned vector for each position, added to token embeddings."""

from typing import Any

import pytest
import torch

from grader.cases.case import Case, Draw
from grader.checks.new_layers import check_parameter_gradients
from grader.checks.refusals import check_refused
from grader.checks.untouched import check_untouched

pytestmark = pytest.mark.own_adapter


def given(x: torch.Tensor, weight: torch.Tensor, positions: torch.Tensor | None = None) -> dict[str, Any]:
    sizes = {"max_seq_len": len(weight), "d_model": x.shape[-1]}
    return {**sizes, "weight": weight, "in_features": x, "token_positions": positions}


@pytest.mark.cases("added")
def test_added(submission, case):
    """Every vector gets the row of its place in the sequence added.

    Asked: problem learned_positions: x + the row of its position.
    """
    case.check(submission.run_learned_positions(**case.inputs))


@pytest.mark.cases("full")
def test_full_length(submission, case):
    """A sequence as long as the table uses each row once, in order.

    Asked: problem learned_positions: positions run from 0 to max_seq_len - 1.
    """
    case.check(submission.run_learned_positions(**case.inputs))


@pytest.mark.cases("positions")
def test_positions(submission, case):
    """Where positions are given, each vector gets the row of its own.

    Asked: problem learned_positions, the argument token_positions.
    """
    case.check(submission.run_learned_positions(**case.inputs))


def test_beyond_the_table(submission):
    """A sequence that is longer than the table raises ValueError, whose message has both lengths.

    Asked: problem learned_positions: there is no position beyond the table.
    """
    draw = Draw(0, "beyond the table of learned positions")
    x, weight = draw.normal(1, 5, 2), draw.normal(5, 2)
    assert submission.run_learned_positions(**given(x, weight)).shape == (1, 5, 2)
    check_refused(submission, "run_learned_positions", given(x, weight[:4]), "5 tokens for a table of 4", 5, 4)


@pytest.mark.edge
def test_positions_beyond_the_table(submission):
    """A given position that is negative, or beyond the table, raises ValueError, whose message has it.

    Asked: problem learned_positions, the argument token_positions.
    """
    draw = Draw(0, "given positions beyond the table")
    x, weight = draw.normal(1, 3, 2), draw.normal(8, 2)
    adapter = "run_learned_positions"
    assert submission.run_learned_positions(**given(x, weight, torch.tensor([7, 0, 2]))).shape == (1, 3, 2)
    check_refused(submission, adapter, given(x, weight, torch.tensor([2, 9, 3])), "position 9 in a table of 8", 9, 8)
    check_refused(submission, adapter, given(x, weight, torch.tensor([2, -3, 1])), "position -3 in a table of 8", -3, 8)


@pytest.mark.edge
@pytest.mark.cases("by_sequence")
def test_positions_by_sequence(submission, case):
    """Positions may differ by sequence, and repeat.

    Asked: problem learned_positions: the leading dimensions of token_positions broadcast to those of x.
    """
    case.check(submission.run_learned_positions(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """A row has the sum of the gradients of all vectors that it was added to; a row that was not used has 0.

    Asked: problem learned_positions: the table is learned.
    """
    check_parameter_gradients(case, submission.parameter_gradients(**case.inputs))


@pytest.mark.edge
def test_inputs_unchanged(submission):
    """The input and the table are afterwards what they were.

    Asked: plain safety: inputs belong to the caller.
    """
    draw = Draw(0, "the inputs of learned positions")
    inputs = given(draw.normal(2, 3, 4), draw.normal(5, 4))
    case = Case("learned", "inputs_after", {"adapter": "run_learned_positions", "inputs": inputs})
    check_untouched(submission, case, "in_features", "weight")
