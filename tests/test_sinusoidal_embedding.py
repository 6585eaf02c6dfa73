"""Sines and cosines of positions, in both layouts, added to token embeddings."""

from typing import Any

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare
from grader.checks.refusals import check_refused
from grader.checks.untouched import inputs_after

pytestmark = pytest.mark.own_adapter


def given(x: torch.Tensor, max_seq_len: int = 16, positions: torch.Tensor | None = None) -> dict[str, Any]:
    sizes = {"max_seq_len": max_seq_len, "d_model": x.shape[-1], "layout": "interleaved", "base": 100.0}
    return {**sizes, "in_features": x, "token_positions": positions}


@pytest.mark.cases("one_angle")
def test_one_angle(submission, case):
    """With two features, position i is sin(i), cos(i), in either layout.

    Asked: problem sinusoidal_embedding, the formula.
    """
    case.check(submission.run_sinusoidal_table(**case.inputs))


@pytest.mark.cases("interleaved")
def test_interleaved(submission, case):
    """Interleaved, each angle's cosine stands next to its sine.

    Asked: problem sinusoidal_embedding, the table of layouts.
    """
    case.check(submission.run_sinusoidal_table(**case.inputs))


@pytest.mark.cases("halves")
def test_halves(submission, case):
    """In halves, all sines come first, then all cosines.

    Asked: problem sinusoidal_embedding, the table of layouts.
    """
    case.check(submission.run_sinusoidal_table(**case.inputs))


@pytest.mark.cases("added")
def test_added(submission, case):
    """Every vector gets the row of its place in the sequence added.

    Asked: problem sinusoidal_embedding: x + the row of its position.
    """
    case.check(submission.run_sinusoidal_positions(**case.inputs))


@pytest.mark.cases("first")
def test_first_position(submission, case):
    """At position 0, all sines are 0 and all cosines are 1.

    Asked: problem sinusoidal_embedding: positions begin at 0.
    """
    case.check(submission.run_sinusoidal_table(**case.inputs))


@pytest.mark.relation
def test_steps_are_rotations(submission):
    """The product of two rows depends on the difference of their positions alone.

    Asked: problem sinusoidal_embedding: each angle has a sine and a cosine.
    """
    table = submission.run_sinusoidal_table(num_positions=12, d_model=6, layout="interleaved", base=50.0)
    assert table.shape == (12, 6), f"for 12 positions and 6 features, the table has the shape {tuple(table.shape)}"
    products = table @ table.T
    for step in (1, 3):
        along = products.diagonal(step)
        compare(along[:1].expand_as(along), along, Tolerance(1e-4), f"products of rows that are {step} apart")
    assert (products[0, 1] - products[0, 2]).abs() > 1e-4, "rows that are 1 and 2 apart have the same product"


@pytest.mark.edge
@pytest.mark.cases("positions")
def test_positions(submission, case):
    """Positions may come in any order, and differ by sequence.

    Asked: problem sinusoidal_embedding, the argument token_positions.
    """
    case.check(submission.run_sinusoidal_positions(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("dtypes")
def test_dtypes(submission, case):
    """The output has the dtype of its input.

    Asked: problem sinusoidal_embedding, the shape and dtype of x.
    """
    case.check(submission.run_sinusoidal_positions(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_input_unchanged(submission, case):
    """The input is afterwards what it was.

    Asked: plain safety: inputs belong to the caller.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
def test_beyond_the_table(submission):
    """A sequence or a position beyond the table raises ValueError, whose message has both numbers.

    Asked: problem sinusoidal_embedding: there is no position beyond the table.
    """
    draw = Draw(0, "beyond the table of sines")
    x = draw.normal(1, 5, 2)
    adapter = "run_sinusoidal_positions"
    assert submission.run_sinusoidal_positions(**given(x, 5)).shape == (1, 5, 2)
    check_refused(submission, adapter, given(x, 4), "5 tokens for a table of 4", 5, 4)
    positions = torch.tensor([0, 1, 2, 9, 3])
    check_refused(submission, adapter, given(x, 8, positions), "position 9 in a table of 8", 9, 8)
    positions = torch.tensor([0, -3, 2, 1, 3])
    check_refused(submission, adapter, given(x, 8, positions), "position -3 in a table of 8", -3, 8)


@pytest.mark.edge
def test_impossible_settings(submission):
    """An odd d_model and an unknown layout raise ValueError, whose message has them.

    Asked: the documentation of sinusoidal_table.
    """
    sizes = {"num_positions": 3, "d_model": 4, "layout": "halves", "base": 100.0}
    assert submission.run_sinusoidal_table(**sizes).shape == (3, 4)
    check_refused(submission, "run_sinusoidal_table", sizes | {"d_model": 5}, "a d_model of 5", 5)
    check_refused(submission, "run_sinusoidal_table", sizes | {"layout": "thirds"}, "the layout 'thirds'", "thirds")
