"""Scaled dot-product attention: softmax(Q K^T / sqrt(d_k)) V, with a mask."""

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.compare import Mismatch, Tolerance, compare
from grader.checks.untouched import check_untouched


def check_whatever_the_mask(submission, case):
    """Check a case in which every key is open: said by a mask that is True everywhere, or else by None.

    What becomes of masks is asked elsewhere, of both kinds.
    """
    try:
        case.check(submission.run_scaled_dot_product_attention(**case.inputs))
    except Mismatch as mismatch:
        try:
            case.check(submission.run_scaled_dot_product_attention(**{**case.inputs, "mask": None}))
        except (
            Exception
        ):  # the mask that is True everywhere is what the public tests give, so its fault is the one to tell
            raise mismatch from None


def test_closed_keys_have_no_influence(submission):
    """Masked keys and their values do not change the output.

    Asked: problem scaled_dot_product_attention: where the mask is False, probabilities are 0.
    """
    draw = Draw(0, "closed keys")
    given = {"Q": draw.normal(2, 4, 8), "K": draw.normal(2, 6, 8, scale=0.3), "V": draw.normal(2, 6, 8)}
    mask = torch.ones(2, 4, 6, dtype=torch.bool)
    mask[..., 4:] = False
    before = submission.run_scaled_dot_product_attention(**given, mask=mask)
    closed, opened = ({name: value.clone() for name, value in given.items()} for _ in range(2))
    for name in ("K", "V"):
        closed[name][:, 4:] = draw.normal(2, 2, 8, scale=3)
        opened[name][:, 3] = draw.normal(2, 8, scale=0.6)
    after = submission.run_scaled_dot_product_attention(**closed, mask=mask)
    assert torch.allclose(before, after, rtol=1e-5, atol=1e-6), (
        "keys and values behind the mask were changed, "
        f"and the output changed by up to {(before - after).abs().max():.3g}"
    )
    after = submission.run_scaled_dot_product_attention(**opened, mask=mask)
    assert (before - after).abs().amax(-1).min() > 1e-4, (
        "an open key and its value were changed, and some output was not"
    )


def test_probabilities_add_up_to_one(submission):
    """If all unmasked values are equal, the output is that value, whatever the scores.

    Asked: problem scaled_dot_product_attention: the probabilities of the open keys sum to 1.
    """
    draw = Draw(0, "equal values")
    given = {"Q": draw.normal(2, 3, 4, 8, scale=2), "K": draw.normal(2, 3, 6, 8, scale=2)}
    row = draw.normal(2, 3, 1, 8)
    mask = torch.ones(2, 3, 4, 6, dtype=torch.bool)
    mask[..., 5] = False
    output = submission.run_scaled_dot_product_attention(**given, V=row.expand(2, 3, 6, 8).clone(), mask=mask)
    compare(row.expand(2, 3, 4, 8), output, Tolerance(1e-5))


def test_sequences_and_heads_are_independent(submission):
    """Attention never mixes sequences or heads.

    Asked: problem scaled_dot_product_attention: what stands before [seq, d_k] are batch-like dimensions.
    """
    draw = Draw(0, "independent heads")
    given = {name: draw.normal(3, 4, 4, 4, scale=1.5) for name in "QKV"}  # one size everywhere but for the batch
    mask = torch.ones(4, 4, dtype=torch.bool).tril().expand(3, 4, 4, 4).clone()
    together = submission.run_scaled_dot_product_attention(**given, mask=mask)
    assert together.shape == (3, 4, 4, 4), f"expected shape (3, 4, 4, 4), got {tuple(together.shape)}"
    assert (together[0, 0] - together[1, 1]).abs().max() > 1e-3, "different heads give the same output"
    for head in range(4):
        alone = submission.run_scaled_dot_product_attention(
            **{name: value[:, head].clone() for name, value in given.items()}, mask=mask[:, head].clone()
        )
        compare(alone, together[:, head], Tolerance(1e-5), f"output of head {head}, beside that of this head alone")


@pytest.mark.cases("scores")
def test_scores(submission, case):
    """Without masked keys, attention averages the values with weights softmax(Q K^T / sqrt(d_k)).

    Asked: problem scaled_dot_product_attention, the formula.
    """
    check_whatever_the_mask(submission, case)


@pytest.mark.cases("mask")
def test_mask(submission, case):
    """If all scores are equal, the output is the plain average of the values whose mask is True.

    Asked: problem scaled_dot_product_attention: True lets a query attend, and the open probabilities sum to 1.
    """
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.cases
def test_matches_reference(submission, case):
    """Attention averages the values with weights softmax(Q K^T / sqrt(d_k)) over the unmasked keys.

    Asked: problem scaled_dot_product_attention, for inputs of three and of four dimensions.
    """
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.cases("sizes")
def test_sizes(submission, case):
    """Queries, keys and values may differ in number and width; the scale depends on the keys' width.

    Asked: problem scaled_dot_product_attention: n queries, m keys, d_k and d_v.
    """
    check_whatever_the_mask(submission, case)


@pytest.mark.cases("closed")
def test_closed_keys_whatever_they_score(submission, case):
    """A masked key gets probability 0 even if its score is far above the others, or all others are low.

    Asked: problem scaled_dot_product_attention: minus infinity is added where the mask is False.
    """
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.cases("large")
def test_large_scores(submission, case):
    """Scores whose exponential overflows still give the right average.

    Asked: problem softmax: the maximum is subtracted, so that nothing overflows.
    """
    check_whatever_the_mask(submission, case)


@pytest.mark.cases("long")
def test_long_sequences(submission, case):
    """Attention works for hundreds of keys as well as for seven.

    Asked: problem scaled_dot_product_attention, which sets no limit; models of the assignment have 256 tokens.
    """
    check_whatever_the_mask(submission, case)


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the inputs in memory does not matter.

    Asked: plain safety: heads that were split off by a transposition are laid out so.
    """
    contiguous = {name: tensor.contiguous() for name, tensor in case.inputs.items()}
    compare(
        submission.run_scaled_dot_product_attention(**contiguous),
        submission.run_scaled_dot_product_attention(**case.inputs),
        Tolerance(1e-5),
        "output, beside that for contiguous copies",
    )


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("no_mask")
def test_no_mask(submission, case):
    """A mask of None lets every query attend to every key.

    Asked: problem scaled_dot_product_attention: the mask is optional.
    """
    everything = torch.ones(*case.inputs["Q"].shape[:-1], case.inputs["K"].shape[-2], dtype=torch.bool)
    compare(
        submission.run_scaled_dot_product_attention(**{**case.inputs, "mask": everything}),
        submission.run_scaled_dot_product_attention(**case.inputs),
        Tolerance(1e-5),
        "output for a mask of None, beside that for a mask that is True everywhere",
    )


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("one_mask")
def test_one_mask_for_all(submission, case):
    """A mask of shape [queries, keys] applies to all sequences and heads.

    Asked: problem scaled_dot_product_attention: the mask has the shape [seq, seq], also where the inputs have a batch.
    """
    _check_broadcast(submission, case)


@pytest.mark.advice
@pytest.mark.relation
@pytest.mark.cases("broadcast")
def test_broadcast_mask(submission, case):
    """A mask of size 1 in a dimension broadcasts there: over heads, sequences or queries."""
    _check_broadcast(submission, case)


def _check_broadcast(submission, case):
    scores = (*case.inputs["Q"].shape[:-1], case.inputs["K"].shape[-2])
    whole = {**case.inputs, "mask": case.inputs["mask"].expand(scores).clone()}
    compare(
        submission.run_scaled_dot_product_attention(**whole),
        submission.run_scaled_dot_product_attention(**case.inputs),
        Tolerance(1e-5),
        f"output, beside that for the same mask in the full shape {list(scores)}",
    )


@pytest.mark.edge
@pytest.mark.cases("shapes")
def test_any_leading_dimensions(submission, case):
    """There may be any number of dimensions between the batch and the sequence.

    Asked: problem scaled_dot_product_attention: the shape is [batch, ..., seq, d_k].
    """
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("no_batch")
def test_no_batch_dimension(submission, case):
    """Queries, keys and values may be plain matrices."""
    case.check(submission.run_scaled_dot_product_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("float64")
def test_double_precision(submission, case):
    """float64 inputs give a float64 output.

    Asked: plain safety: a result of another dtype does not fit the layers around it.
    """
    check_like_float32(submission, case)


@pytest.mark.advice
@pytest.mark.relation
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """float16 and bfloat16 inputs give an output of the same dtype."""
    check_like_float32(submission, case)


def check_like_float32(submission, case):
    """Compare with what the same code makes of the same values in float32."""
    wide = {name: value.float() if value.is_floating_point() else value for name, value in case.inputs.items()}
    output = submission.run_scaled_dot_product_attention(**case.inputs)
    in_float32 = submission.run_scaled_dot_product_attention(**wide)
    dtype = case.inputs["V"].dtype
    compare(in_float32.to(dtype), output, case.tolerance, "output, beside that for the same values in float32")


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """Attention does not modify queries, keys, values or mask.

    Asked: plain safety: inputs belong to the caller.
    """
    check_untouched(submission, case, "Q", "K", "V", "mask")


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow to queries, keys and values, and stay finite where keys are masked.

    Asked: plain safety: all three must be trained through it.
    """
    case.check(submission.gradients(**case.inputs))
