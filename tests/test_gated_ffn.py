"""Gated feed-forward networks, W2 (f(W1 x) * W3 x): GLU, bilinear, ReGLU, GEGLU and SwiGLU; and how wide they are."""

import pytest
import torch

from grader.cases.case import Draw
from grader.checks.refusals import check_refused
from grader.checks.untouched import check_untouched

pytestmark = pytest.mark.own_adapter

WEIGHTS = ("w1_weight", "w2_weight", "w3_weight")


@pytest.mark.cases("glu")
def test_glu(submission, case):
    """In GLU, the gate is a sigmoid of W1 x.

    Asked: problem gated_ffn, the table of gates.
    """
    case.check(submission.run_gated_ffn(**case.inputs))


@pytest.mark.cases("bilinear")
def test_bilinear(submission, case):
    """In the bilinear layer, the gate is W1 x itself.

    Asked: problem gated_ffn, the table of gates.
    """
    case.check(submission.run_gated_ffn(**case.inputs))


@pytest.mark.cases("reglu")
def test_reglu(submission, case):
    """In ReGLU, the gate is the ReLU of W1 x.

    Asked: problem gated_ffn, the table of gates.
    """
    case.check(submission.run_gated_ffn(**case.inputs))


@pytest.mark.cases("geglu")
def test_geglu(submission, case):
    """In GEGLU, the gate is the exact GELU of W1 x.

    Asked: problem gated_ffn, the table of gates.
    """
    case.check(submission.run_gated_ffn(**case.inputs))


@pytest.mark.cases("swiglu")
def test_swiglu(submission, case):
    """In SwiGLU, the gate is the SiLU of W1 x.

    Asked: problem gated_ffn, the table of gates.
    """
    case.check(submission.run_gated_ffn(**case.inputs))


@pytest.mark.cases("width")
def test_width(submission, case):
    """A gated network is two thirds as wide as a plain one, rounded down, so that both have as many parameters.

    Asked: problem gated_ffn, the width.
    """
    case.check(submission.run_gated_d_ff(**case.inputs))


@pytest.mark.cases("multiple")
def test_multiple(submission, case):
    """The width goes up to the next multiple of the given number, and stays where it is one.

    Asked: problem gated_ffn, the width.
    """
    case.check(submission.run_gated_d_ff(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("shapes")
def test_any_leading_dimensions(submission, case):
    """The input may have any number of leading dimensions, any layout in memory, and the type float64.

    Asked: the "..." in the signature of run_gated_ffn.
    """
    case.check(submission.run_gated_ffn(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through the gate and through what it gates.

    Asked: what comes before the network must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """The input and the weights are afterwards what they were.

    Asked: plain safety: inputs belong to the caller.
    """
    check_untouched(submission, case, "in_features", *WEIGHTS)


@pytest.mark.edge
def test_impossible_settings(submission):
    """An unknown gate, and a width or multiple below 1, raise ValueError, whose message has the value.

    Asked: the documentation of GatedFeedForward and gated_d_ff.
    """
    assert submission.run_gated_d_ff(plain_d_ff=12, multiple_of=4) == 8
    check_refused(submission, "run_gated_d_ff", {"plain_d_ff": 12, "multiple_of": 0}, "multiple_of = 0", 0)
    draw = Draw(0, "an unknown gate")
    weights = dict(zip(WEIGHTS, (draw.normal(3, 2), draw.normal(2, 3), draw.normal(3, 2)), strict=True))
    given = {"d_model": 2, "d_ff": 3, "gate": "sweglu", **weights, "in_features": torch.ones(1, 2)}
    check_refused(submission, "run_gated_ffn", given, "the gate 'sweglu'", "sweglu")
