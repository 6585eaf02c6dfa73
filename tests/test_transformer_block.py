"""The pre-norm Transformer block: y = x + attn(ln1(x)), output = y + ffn(ln2(y))."""

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.weights import block_shapes, draw_weights


def test_causal(submission):
    """No output depends on a later token, and every output depends on its own."""
    draw = Draw(0, "causal block")
    x = draw.normal(2, 6, 8)
    inputs = {"d_model": 8, "num_heads": 2, "d_ff": 16, "max_seq_len": 6, "theta": 1e4}
    weights = draw_weights(draw, block_shapes(8, 16))
    before = submission.run_transformer_block(**inputs, weights=weights, in_features=x)
    for t in (0, 3, 5):
        changed = x.clone()
        changed[:, t:] = draw.normal(2, 6 - t, 8)
        after = submission.run_transformer_block(**inputs, weights=weights, in_features=changed)
        change = (after - before).abs().amax(-1)
        assert t == 0 or change[:, :t].max() < 1e-4, f"a change of the tokens from {t} on changes outputs before {t}"
        assert change[:, t:].min() > 1e-5, (
            f"a change of the tokens from {t} on leaves some output from {t} on as it was"
        )


@pytest.mark.cases
def test_matches_reference(submission, case):
    """The block is y = x + attn(ln1(x)), then y + ffn(ln2(y)), with RoPE at positions 0, 1, 2, ..."""
    case.check(submission.run_transformer_block(**case.inputs))


@pytest.mark.cases("attention_alone")
def test_attention_alone(submission, case):
    """With a silent feed-forward network (w2 = 0) the block is x + attn(ln1(x))."""
    case.check(submission.run_transformer_block(**case.inputs))


@pytest.mark.cases("feed_forward_alone")
def test_feed_forward_alone(submission, case):
    """With a silent attention (output_proj = 0) the block is x + ffn(ln2(x))."""
    case.check(submission.run_transformer_block(**case.inputs))


@pytest.mark.cases("residual")
def test_residual_connections(submission, case):
    """With both sublayers silent the input comes out as it was: not its norm, and not scaled."""
    case.check(submission.run_transformer_block(**case.inputs))
    x, weights = case.inputs["in_features"], case.inputs["weights"]
    loud = {name: weight if weight.any() else torch.full_like(weight, 0.1) for name, weight in weights.items()}
    change = (submission.run_transformer_block(**{**case.inputs, "weights": loud}) - x).abs().max()
    assert change > 1e-3, "sublayers that are not silent change nothing"


@pytest.mark.cases("theta")
def test_theta(submission, case):
    """The attention uses RoPE with the given theta as its base."""
    case.check(submission.run_transformer_block(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("eps")
def test_eps(submission, case):
    """Both norms use eps = 1e-5, which shows when the inputs are small."""
    case.check(submission.run_transformer_block(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter."""
    case.check(submission.run_transformer_block(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """The block leaves its input and its weights as they were."""
    case.check(submission.inputs_after(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through both sublayers and both residual connections to the input."""
    case.check(submission.gradients(**case.inputs))
