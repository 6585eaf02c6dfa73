"""The pre-norm Transformer block: y = x + attn(ln1(x)), output = y + ffn(ln2(y))."""

from typing import Any

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare
from grader.cases.weights import block_shapes, draw_weights, usual_d_ff
from grader.checks.untouched import check_untouched

D_MODEL = 24
D_FF = usual_d_ff(D_MODEL)
SAME = Tolerance(2e-5)


def drawn_block(draw: Draw) -> dict[str, Any]:
    """A block of two heads, as arguments of the adapter."""
    sizes = {"d_model": D_MODEL, "num_heads": 2, "d_ff": D_FF, "max_seq_len": 6, "theta": 1e4}
    return {**sizes, "weights": draw_weights(draw, block_shapes(D_MODEL, D_FF))}


def test_causal(submission):
    """No output depends on a later token, and every output depends on its own token.

    Asked: problem multihead_self_attention: token i attends to the tokens j <= i.
    """
    draw = Draw(0, "causal block")
    block, x = drawn_block(draw), draw.normal(2, 6, D_MODEL)
    before = submission.run_transformer_block(**block, in_features=x)
    for t in (0, 3, 5):
        changed = x.clone()
        changed[:, t:] = draw.normal(2, 6 - t, D_MODEL)
        after = submission.run_transformer_block(**block, in_features=changed)
        change = (after - before).abs().amax(-1)
        assert t == 0 or change[:, :t].max() < 1e-4, f"a change of the tokens from {t} on changes outputs before {t}"
        assert change[:, t:].min() > 1e-5, (
            f"a change of the tokens from {t} on leaves some output from {t} on as it was"
        )


def test_every_weight_is_used(submission):
    """Each of the nine weights affects the output.

    Asked: problem transformer_block: two norms, attention and SwiGLU, each with weights of its own.
    """
    draw = Draw(0, "weights of a block")
    block, x = drawn_block(draw), draw.normal(2, 6, D_MODEL)
    before = submission.run_transformer_block(**block, in_features=x)
    for name, weight in block["weights"].items():
        weights = block["weights"] | {name: weight.flip(-1)}
        change = (submission.run_transformer_block(**{**block, "weights": weights}, in_features=x) - before).abs().max()
        assert change > 1e-4, f"{name} was changed, and the output was not"


@pytest.mark.cases
def test_matches_reference(submission, case):
    """The block is y = x + attn(ln1(x)), then y + ffn(ln2(y)), with RoPE at positions 0, 1, 2, ...

    Asked: problem transformer_block, the formula of its first half and the figure of the whole.
    """
    case.check(submission.run_transformer_block(**case.inputs))


@pytest.mark.cases("attention_alone")
def test_attention_alone(submission, case):
    """If the feed-forward network outputs zero (w2 = 0), the block adds only attn(ln1(x)).

    Asked: problem transformer_block, the formula of its first half.
    """
    check_what_is_added(submission, case, "attn.output_proj.weight")


@pytest.mark.cases("feed_forward_alone")
def test_feed_forward_alone(submission, case):
    """If the attention outputs zero (output_proj = 0), the block adds only ffn(ln2(x)).

    Asked: problem transformer_block: each sublayer is a norm, then the operation, then the residual connection.
    """
    check_what_is_added(submission, case, "ffn.w2.weight")


def check_what_is_added(submission, case, name):
    """Compare how far the output is from that of the same block with this weight at zero, too."""
    weights = case.inputs["weights"]
    silent = {**case.inputs, "weights": weights | {name: torch.zeros_like(weights[name])}}
    added = submission.run_transformer_block(**case.inputs) - submission.run_transformer_block(**silent)
    where = f"the output, less that of the same block with {name} at zero"
    compare(case.expected - case.inputs["in_features"], added, case.tolerance, where)


@pytest.mark.cases("residual")
def test_residual_connections(submission, case):
    """With both sublayers at zero, gains of 1 and vectors of root mean square 1, the input comes out unchanged.

    Asked: problem transformer_block, the residual connections.
    """
    case.check(submission.run_transformer_block(**case.inputs))
    x, weights = case.inputs["in_features"], case.inputs["weights"]
    loud = {name: weight if weight.any() else torch.full_like(weight, 0.1) for name, weight in weights.items()}
    change = (submission.run_transformer_block(**{**case.inputs, "weights": loud}) - x).abs().max()
    assert change > 1e-3, "sublayers that are not silent change nothing"


@pytest.mark.relation
@pytest.mark.cases("theta")
def test_theta(submission, case):
    """RoPE's base is the given theta: it affects every token except the first, which is not rotated.

    Asked: the argument theta of the adapter, and problem multihead_self_attention, "applying RoPE".
    """
    one = submission.run_transformer_block(**case.inputs)
    other = submission.run_transformer_block(**{**case.inputs, "theta": 1e6})
    change = (one - other).abs().amax(-1)
    assert change[..., 0].max() < 1e-4, f"another theta changes the output for position 0 by {change[..., 0].max():.3g}"
    assert change[..., 1:].amax(-1).min() > 1e-5, (
        f"theta = {case.inputs['theta']:g} and theta = 1e6 give the same output for all tokens of some sequence"
    )


@pytest.mark.edge
@pytest.mark.cases("eps")
def test_eps(submission, case):
    """Both norms use eps = 1e-5; this matters when the inputs are small.

    Asked: problem rmsnorm, the default of eps.
    """
    case.check(submission.run_transformer_block(**case.inputs))


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter.

    Asked: plain safety: inputs come from other layers, which may transpose them.
    """
    contiguous = {**case.inputs, "in_features": case.inputs["in_features"].contiguous()}
    compare(
        submission.run_transformer_block(**contiguous),
        submission.run_transformer_block(**case.inputs),
        SAME,
        "output, beside that for a contiguous copy",
    )


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """The block does not modify its input.

    Asked: plain safety: inputs belong to the caller.
    """
    check_untouched(submission, case, "in_features")


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through both sublayers and both residual connections to the input.

    Asked: plain safety: the layers below must be trained through it.
    """
    case.check(submission.gradients(**case.inputs))
