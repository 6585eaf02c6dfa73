"""Causal attention with RMS-normed queries and keys, per head, before RoPE."""

from typing import Any

import pytest
import torch

from grader.cases.case import Case, Draw
from grader.cases.compare import Tolerance, compare
from grader.cases.weights import draw_weights
from grader.checks.refusals import check_refused
from grader.checks.untouched import check_untouched

pytestmark = pytest.mark.own_adapter

D_MODEL, SEQ_LEN = 8, 5
PROJECTIONS = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight")
SAME = Tolerance(1e-4)


def drawn_inputs(draw: Draw, num_heads: int = 2, theta: float | None = 100.0) -> dict[str, Any]:
    """A batch of two sequences and weights."""
    gains = dict.fromkeys(("q_norm_weight", "k_norm_weight"), (D_MODEL // num_heads,))
    weights = draw_weights(draw, {**dict.fromkeys(PROJECTIONS, (D_MODEL, D_MODEL)), **gains})
    sizes = {"d_model": D_MODEL, "num_heads": num_heads, "max_seq_len": 16, "theta": theta, "eps": 1e-6}
    return {**sizes, **weights, "in_features": draw.normal(2, SEQ_LEN, D_MODEL)}


@pytest.mark.cases("one_token")
def test_one_token(submission, case):
    """A token alone attends to itself, so that its output is W_O W_V x.

    Asked: problem qk_norm, the formula.
    """
    case.check(submission.run_qk_norm_attention(**case.inputs))


@pytest.mark.cases("without_rope")
def test_without_rope(submission, case):
    """Queries and keys are divided by their root mean square and multiplied by their gains; then comes attention.

    Asked: problem qk_norm, the formula.
    """
    case.check(submission.run_qk_norm_attention(**case.inputs))


@pytest.mark.cases("rope")
def test_with_rope(submission, case):
    """RoPE rotates what the norms give, at the given positions, or at 0, 1, 2, ...

    Asked: problem qk_norm, the norm comes before RoPE.
    """
    case.check(submission.run_qk_norm_attention(**case.inputs))


def check_size(submission, name):
    """Raise Mismatch if a weight that is 10 times as large changes the output."""
    inputs = drawn_inputs(Draw(0, f"size of {name}"))
    before = submission.run_qk_norm_attention(**inputs)
    after = submission.run_qk_norm_attention(**{**inputs, name: 10 * inputs[name]})
    assert (before[:, 1:] - before[:, :1]).abs().max() > 1e-3, "every token has the same output"
    compare(before, after, SAME, f"output with 10 times the {name}")


@pytest.mark.relation
def test_size_of_queries(submission):
    """Weights of queries that are 10 times as large change nothing.

    Asked: problem qk_norm: that is what the norm is for.
    """
    check_size(submission, "q_proj_weight")


@pytest.mark.relation
def test_size_of_keys(submission):
    """Weights of keys that are 10 times as large change nothing.

    Asked: problem qk_norm: that is what the norm is for.
    """
    check_size(submission, "k_proj_weight")


@pytest.mark.relation
def test_size_of_values(submission):
    """Values are not normalised: weights of values that are 3 times as large give 3 times the output.

    Asked: problem qk_norm, the formula has no norm on the values.
    """
    inputs = drawn_inputs(Draw(0, "size of values"))
    before = submission.run_qk_norm_attention(**inputs)
    after = submission.run_qk_norm_attention(**{**inputs, "v_proj_weight": 3 * inputs["v_proj_weight"]})
    assert before.abs().max() > 1e-3, "the output is 0"
    compare(3 * before, after, SAME, "output with 3 times the v_proj_weight")


@pytest.mark.relation
def test_each_head_by_itself(submission):
    """A head whose queries and keys are 10 times as large changes neither its own output nor that of the others.

    Asked: problem qk_norm, the norm is over the features of one head.
    """
    inputs = drawn_inputs(Draw(0, "one head"))
    before = submission.run_qk_norm_attention(**inputs)
    larger = torch.ones(D_MODEL, 1)
    larger[: D_MODEL // 2] = 10
    for name in ("q_proj_weight", "k_proj_weight"):
        after = submission.run_qk_norm_attention(**{**inputs, name: larger * inputs[name]})
        compare(before, after, SAME, f"output with 10 times the first head's {name}")
    assert before.abs().max() > 1e-3, "the output is 0"


def test_every_weight_is_used(submission):
    """Each weight affects the output, the gains of queries and keys as well.

    Asked: problem qk_norm, the submodules.
    """
    inputs = drawn_inputs(Draw(0, "weights of attention with norms"))
    before = submission.run_qk_norm_attention(**inputs)
    for name in (*PROJECTIONS, "q_norm_weight", "k_norm_weight"):
        change = (submission.run_qk_norm_attention(**{**inputs, name: inputs[name].flip(0)}) - before).abs().max()
        assert change > 1e-4, f"{name} was changed, and the output was not"


@pytest.mark.edge
def test_causal(submission):
    """No output depends on a later token.

    Asked: problem multihead_self_attention: token i attends to the tokens j <= i.
    """
    draw = Draw(0, "causal attention with norms")
    inputs = drawn_inputs(draw)
    before = submission.run_qk_norm_attention(**inputs)
    x = inputs["in_features"].clone()
    x[:, 2:] = draw.normal(2, SEQ_LEN - 2, D_MODEL)
    change = (submission.run_qk_norm_attention(**{**inputs, "in_features": x}) - before).abs().amax(-1)
    assert change[:, :2].max() < 1e-4, "a change of the tokens from 2 on changes outputs before 2"
    assert change[:, 2:].min() > 1e-5, "a change of the tokens from 2 on leaves an output from 2 on as it was"


@pytest.mark.edge
@pytest.mark.cases("eps")
def test_eps(submission, case):
    """The given eps is that of both norms.

    Asked: the argument eps of the adapter.
    """
    case.check(submission.run_qk_norm_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through queries, keys and values.

    Asked: what comes before attention must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
def test_input_unchanged(submission):
    """The input is afterwards what it was.

    Asked: plain safety: inputs belong to the caller.
    """
    given = {"adapter": "run_qk_norm_attention", "inputs": drawn_inputs(Draw(0, "the input of attention with norms"))}
    check_untouched(submission, Case("attention", "inputs_after", given), "in_features")


@pytest.mark.edge
def test_impossible_heads(submission):
    """Heads that cannot share d_model equally raise ValueError, whose message has both numbers.

    Asked: the documentation of QKNormAttention.
    """
    inputs = drawn_inputs(Draw(0, "impossible heads"), theta=None)
    assert submission.run_qk_norm_attention(**inputs).shape == (2, SEQ_LEN, D_MODEL)
    given = inputs | {"num_heads": 3, "q_norm_weight": torch.ones(2), "k_norm_weight": torch.ones(2)}
    check_refused(submission, "run_qk_norm_attention", given, f"3 heads for d_model = {D_MODEL}", 3, D_MODEL)
