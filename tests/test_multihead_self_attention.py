"""Causal multi-head self-attention, without RoPE and with it."""

from typing import Any

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.weights import draw_weights

D_MODEL, SEQ_LEN = 8, 6
PROJECTIONS = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight")


def drawn_inputs(draw: Draw) -> dict[str, Any]:
    """A batch of two sequences and weights for two heads."""
    weights = draw_weights(draw, dict.fromkeys(PROJECTIONS, (D_MODEL, D_MODEL)))
    return {"d_model": D_MODEL, "num_heads": 2, **weights, "in_features": draw.normal(2, SEQ_LEN, D_MODEL)}


def test_causal(submission):
    """No output depends on a later token, and every output depends on its own."""
    draw = Draw(0, "causal attention")
    inputs = drawn_inputs(draw)
    before = submission.run_multihead_self_attention(**inputs)
    for t in (0, SEQ_LEN // 2, SEQ_LEN - 1):
        x = inputs["in_features"].clone()
        x[:, t:] = draw.normal(2, SEQ_LEN - t, D_MODEL)
        change = (submission.run_multihead_self_attention(**{**inputs, "in_features": x}) - before).abs().amax(-1)
        assert t == 0 or change[:, :t].max() < 1e-4, f"a change of the tokens from {t} on changes outputs before {t}"
        assert change[:, t:].min() > 1e-5, (
            f"a change of the tokens from {t} on leaves some output from {t} on as it was"
        )


def test_order_without_rope(submission):
    """Without RoPE the last output does not depend on the order of the tokens before it."""
    inputs = drawn_inputs(Draw(0, "order without rope"))
    x = inputs["in_features"]
    exchanged = x[:, [2, 0, 4, 1, 3, 5]]
    before = submission.run_multihead_self_attention(**inputs)
    after = submission.run_multihead_self_attention(**{**inputs, "in_features": exchanged})
    change = (before[:, -1] - after[:, -1]).abs().max().item()
    assert change < 1e-4, f"the tokens before the last one changed places, and the last output changed by {change:.3g}"
    assert (before[:, 0] - after[:, 0]).abs().max() > 1e-3, (
        "the first token is another one, and the first output is not"
    )


def test_shifted_positions(submission):
    """With RoPE, adding the same number to all positions changes nothing, and spreading them does."""
    inputs = drawn_inputs(Draw(0, "shifted positions")) | {"max_seq_len": 32, "theta": 100.0}
    at_start, shifted, spread = (
        submission.run_multihead_self_attention_with_rope(**inputs, token_positions=positions)
        for positions in (torch.arange(SEQ_LEN), torch.arange(SEQ_LEN) + 20, torch.arange(SEQ_LEN) * 3)
    )
    change = (at_start - shifted).abs().max().item()
    assert change < 1e-4, f"adding 20 to all positions changes the output by up to {change:.3g}"
    assert (at_start - spread).abs().max() > 1e-3, "tripling all positions leaves the output as it was"


@pytest.mark.cases("without_rope")
def test_without_rope(submission, case):
    """Every head attends on its own features; W_O mixes what the heads found. There is no position embedding here."""
    case.check(submission.run_multihead_self_attention(**case.inputs))


@pytest.mark.cases("heads")
def test_number_of_heads(submission, case):
    """Any number of heads that divides d_model works, beginning with one."""
    case.check(submission.run_multihead_self_attention(**case.inputs))


@pytest.mark.cases("with_rope")
def test_with_rope(submission, case):
    """With RoPE, queries and keys of every head are turned by their positions, and values are not."""
    case.check(submission.run_multihead_self_attention_with_rope(**case.inputs))


@pytest.mark.cases("positions")
def test_positions(submission, case):
    """RoPE uses the positions that it is given, whether or not they are 0, 1, 2, ..."""
    case.check(submission.run_multihead_self_attention_with_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter."""
    case.check(getattr(submission, case.operation)(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("rows")
def test_positions_of_each_sequence(submission, case):
    """Positions of shape [batch, seq] belong to sequences, also when there are as many heads as sequences."""
    case.check(submission.run_multihead_self_attention_with_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("unordered")
def test_unordered_positions(submission, case):
    """Who sees whom follows the order of the tokens, not their positions."""
    case.check(submission.run_multihead_self_attention_with_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("no_positions")
def test_no_positions(submission, case):
    """Positions of None mean 0, 1, 2, ..."""
    case.check(submission.run_multihead_self_attention_with_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("shapes")
def test_any_leading_dimensions(submission, case):
    """There may be any number of batch dimensions, or none."""
    case.check(getattr(submission, case.operation)(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """Attention leaves its input, its weights and the positions as they were."""
    case.check(submission.inputs_after(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through queries, keys and values to the input."""
    case.check(submission.gradients(**case.inputs))
