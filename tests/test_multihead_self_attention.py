"""Causal multi-head self-attention, without RoPE and with it.

Most tests look at one requirement: with one head there is nothing to split, for one token nothing to attend to, and the
last token sees everything, whatever the mask. What all of it gives together is asked once, without RoPE and with it.
"""

from typing import Any

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare
from grader.cases.weights import draw_weights
from grader.checks.untouched import check_untouched

D_MODEL, SEQ_LEN = 8, 6
PROJECTIONS = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight")
SAME = Tolerance(1e-5)


def drawn_inputs(draw: Draw, num_heads: int = 1) -> dict[str, Any]:
    """A batch of two sequences and weights."""
    weights = draw_weights(draw, dict.fromkeys(PROJECTIONS, (D_MODEL, D_MODEL)))
    return {"d_model": D_MODEL, "num_heads": num_heads, **weights, "in_features": draw.normal(2, SEQ_LEN, D_MODEL)}


def check_last_token(case, output):
    """Compare the output for the last token of each sequence, which sees all tokens, with a mask or without."""
    if getattr(output, "shape", None) != case.expected.shape:
        case.check(output)  # says what it is instead
    compare(case.expected[..., -1, :], output[..., -1, :], case.tolerance, "output for the last token")


def test_causal(submission):
    """No output depends on a later token, and every output depends on its own token.

    Asked: problem multihead_self_attention: token i attends to the tokens j <= i.
    """
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
    x = inputs["in_features"].clone()
    x[:, -1] *= 600  # scores by hundreds above the others, which may underflow if it counts in their maximum
    change = submission.run_multihead_self_attention(**{**inputs, "in_features": x}) - before
    assert change[:, :-1].abs().max() < 1e-4, (
        f"a last token that is 600 times as large changes outputs before it, by {change[:, :-1].abs().max():.3g}"
    )


def test_order_without_rope(submission):
    """Without RoPE the last output does not depend on the order of the tokens before it.

    Asked: problem multihead_self_attention: the adapter without RoPE is given no positions.
    """
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
    """With RoPE, adding the same number to all positions changes nothing; spreading them does.

    Asked: problem rope: all that matters is how tokens are rotated relative to each other.
    """
    inputs = drawn_inputs(Draw(0, "shifted positions")) | {"max_seq_len": 32, "theta": 100.0}
    at_start, shifted, spread = (
        submission.run_multihead_self_attention_with_rope(**inputs, token_positions=positions)
        for positions in (torch.arange(SEQ_LEN), torch.arange(SEQ_LEN) + 20, torch.arange(SEQ_LEN) * 3)
    )
    change = (at_start - shifted).abs().max().item()
    assert change < 1e-4, f"adding 20 to all positions changes the output by up to {change:.3g}"
    assert (at_start - spread).abs().max() > 1e-3, "tripling all positions leaves the output as it was"


def test_sequences_are_independent(submission):
    """The output for a sequence does not depend on the other sequences of the batch.

    Asked: problem multihead_self_attention: what stands before [seq, d_model] are batch-like dimensions.
    """
    draw = Draw(0, "independent sequences in attention")
    inputs = drawn_inputs(draw)
    together = submission.run_multihead_self_attention(**inputs)
    for i, x in enumerate(inputs["in_features"]):
        alone = submission.run_multihead_self_attention(**{**inputs, "in_features": x[None].clone()})
        compare(alone[0], together[i], SAME, f"output of sequence {i}, beside that of this sequence alone")
    assert (together[0] - together[1]).abs().max() > 1e-3, "different sequences give the same output"


def test_every_projection_is_used(submission):
    """Each of the four projections has an influence on the output.

    Asked: problem multihead_self_attention, the formula.
    """
    inputs = drawn_inputs(Draw(0, "projections"), num_heads=2)
    before = submission.run_multihead_self_attention(**inputs)
    for name in PROJECTIONS:
        changed = {**inputs, name: inputs[name].flip(-1)}
        change = (submission.run_multihead_self_attention(**changed) - before).abs().max()
        assert change > 1e-4, f"{name} was changed, and the output was not"


def test_heads_are_separate(submission):
    """The last rows of W_Q, W_K and W_V affect only the last head and its features.

    Asked: problem multihead_self_attention: head i owns slice i of queries, keys and values.
    """
    inputs = drawn_inputs(Draw(0, "separate heads"), num_heads=2) | {"o_proj_weight": torch.eye(D_MODEL)}
    before = submission.run_multihead_self_attention(**inputs)
    changed, half = dict(inputs), D_MODEL // 2
    for name in PROJECTIONS[:3]:
        changed[name] = torch.cat([inputs[name][:half], inputs[name][half:].flip(-1)])
    change = (submission.run_multihead_self_attention(**changed) - before).abs().amax((0, 1))
    assert change[:half].max() < 1e-4, "the rows of the second head were changed, and the features of the first changed"
    assert change[half:].min() > 1e-4, "the rows of the second head were changed, and some feature of it was not"


def test_values_are_not_turned(submission):
    """For a single token, its position does not matter, because RoPE rotates queries and keys, not values.

    Asked: problem multihead_self_attention, "applying RoPE".
    """
    inputs = drawn_inputs(Draw(0, "position of one token")) | {"max_seq_len": 32, "theta": 100.0}
    inputs["in_features"] = inputs["in_features"][:, :1].clone()
    attention = submission.run_multihead_self_attention_with_rope
    first, later = (attention(**inputs, token_positions=torch.tensor([position])) for position in (0, 17))
    change = (first - later).abs().max().item()
    assert change < 1e-4, f"a single token at position 17 instead of 0 changes the output by up to {change:.3g}"
    assert (first[0] - first[1]).abs().max() > 1e-3, "different tokens give the same output"


@pytest.mark.cases("one_token")
def test_one_token(submission, case):
    """A sequence of one token attends only to itself: the output is W_O W_V x.

    Asked: problem multihead_self_attention, the formula.
    """
    case.check(submission.run_multihead_self_attention(**case.inputs))


@pytest.mark.cases("bare")
def test_projections_that_change_nothing(submission, case):
    """With one head and identity projections, the input attends to itself, causally.

    Asked: problem multihead_self_attention, the formula and the causal mask.
    """
    case.check(submission.run_multihead_self_attention(**case.inputs))


@pytest.mark.cases("one_head")
def test_one_head(submission, case):
    """One head of size d_model attends causally, with weights softmax(Q K^T / sqrt(d_k)).

    Asked: problem multihead_self_attention, the formula and the causal mask.
    """
    case.check(submission.run_multihead_self_attention(**case.inputs))


@pytest.mark.cases("heads")
def test_number_of_heads(submission, case):
    """Any number of heads that divides d_model works; each has d_k = d_model / num_heads consecutive features.

    Asked: problem multihead_self_attention: projections are sliced, d_k = d_model / h.
    """
    check_last_token(case, submission.run_multihead_self_attention(**case.inputs))


@pytest.mark.cases("without_rope")
def test_without_rope(submission, case):
    """Every head attends on its own features, and W_O mixes the heads' outputs; there is no position embedding.

    Asked: problem multihead_self_attention, the formula, the causal mask, and the adapter without RoPE.
    """
    case.check(submission.run_multihead_self_attention(**case.inputs))


@pytest.mark.cases("with_rope")
def test_with_rope(submission, case):
    """With RoPE, the queries and keys of every head are rotated by their positions; the values are not.

    Asked: problem multihead_self_attention, "applying RoPE".
    """
    case.check(submission.run_multihead_self_attention_with_rope(**case.inputs))


@pytest.mark.cases("positions")
def test_positions(submission, case):
    """RoPE uses the given positions, whether or not they are 0, 1, 2, ...

    Asked: the argument token_positions of the adapter with RoPE.
    """
    check_last_token(case, submission.run_multihead_self_attention_with_rope(**case.inputs))


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter.

    Asked: plain safety: inputs come from other layers, which may transpose them.
    """
    attention = getattr(submission, case.operation)
    contiguous = {**case.inputs, "in_features": case.inputs["in_features"].contiguous()}
    compare(attention(**contiguous), attention(**case.inputs), SAME, "output, beside that for a contiguous copy")


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("rows")
def test_positions_of_each_sequence(submission, case):
    """Positions of shape [batch, seq] belong to the sequences, even if there are as many heads as sequences.

    Asked: the adapter with RoPE: token_positions have the shape [..., seq], as in_features have [..., seq, d_model].
    """
    attention = submission.run_multihead_self_attention_with_rope
    together = attention(**case.inputs)
    rows = zip(case.inputs["in_features"], case.inputs["token_positions"], strict=True)
    alone = [attention(**{**case.inputs, "in_features": x[None], "token_positions": own[None]})[0] for x, own in rows]
    compare(torch.stack(alone), together, SAME, "output, beside that of each sequence alone with its own positions")
    first = attention(**{**case.inputs, "token_positions": case.inputs["token_positions"][:1]})
    assert (first - together).abs().max() > 1e-3, "giving all sequences the positions of the first changes nothing"


@pytest.mark.edge
@pytest.mark.cases("unordered")
def test_unordered_positions(submission, case):
    """The causal mask follows the order of the tokens, not their positions.

    Asked: problem multihead_self_attention: the mask compares places in the sequence; positions are for RoPE alone.
    """
    case.check(submission.run_multihead_self_attention_with_rope(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("no_positions")
def test_no_positions(submission, case):
    """Positions of None mean 0, 1, 2, ..."""
    case.check(submission.run_multihead_self_attention_with_rope(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("shapes")
def test_any_leading_dimensions(submission, case):
    """There may be any number of batch dimensions, or none."""
    case.check(getattr(submission, case.operation)(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """With float16 or bfloat16 weights and inputs, the output has the same dtype."""
    case.check(submission.run_multihead_self_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """Attention does not modify its input.

    Asked: plain safety: the residual connection still needs it.
    """
    check_untouched(submission, case, "in_features")


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through queries, keys and values to the input.

    Asked: plain safety: the layers below must be trained through it.
    """
    case.check(submission.gradients(**case.inputs))
