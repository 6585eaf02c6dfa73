"""The Transformer language model: embedding, blocks, final norm, and a score for every next token."""

from typing import Any

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare
from grader.cases.weights import draw_weights, lm_shapes, usual_d_ff
from grader.checks.new_layers import GAIN, check_own_start, check_parameter_gradients, new
from grader.checks.placement import check_placement
from grader.checks.untouched import check_untouched

CONFIG = {
    "vocab_size": 90,
    "context_length": 16,
    "d_model": 48,
    "num_layers": 3,
    "num_heads": 4,
    "d_ff": usual_d_ff(48),
    "rope_theta": 10000.0,
}
SHAPES = lm_shapes(vocab_size=90, d_model=48, num_layers=3, d_ff=usual_d_ff(48))
WEIGHTS = [
    (shape, GAIN if len(shape) == 1 else 1.0 if name == "token_embeddings.weight" else (2 / sum(shape)) ** 0.5)
    for name, shape in SHAPES.items()
]
SEQ_LEN = 8
VOCAB_SIZE, D_MODEL = 20, 24
SAME = Tolerance(5e-5)


def drawn_model(draw: Draw) -> dict[str, Any]:
    """A small model, as arguments of the adapter."""
    d_ff = usual_d_ff(D_MODEL)
    weights = draw_weights(draw, lm_shapes(VOCAB_SIZE, D_MODEL, num_layers=2, d_ff=d_ff))
    sizes = {"vocab_size": VOCAB_SIZE, "d_model": D_MODEL, "num_layers": 2, "num_heads": 2, "d_ff": d_ff}
    return {**sizes, "context_length": SEQ_LEN, "rope_theta": 1e4, "weights": weights}


def test_causal(submission):
    """No logits depend on a later token, and all depend on their own token.

    Asked: problem multihead_self_attention: token i attends to the tokens j <= i.
    """
    draw = Draw(0, "causal model")
    model = drawn_model(draw)
    ids = draw.integers(0, VOCAB_SIZE, 2, SEQ_LEN)
    before = submission.run_transformer_lm(**model, in_indices=ids)
    for t in (0, SEQ_LEN // 2, SEQ_LEN - 1):
        changed = ids.clone()
        changed[:, t:] = (ids[:, t:] + 1 + draw.integers(0, VOCAB_SIZE - 1, 2, SEQ_LEN - t)) % VOCAB_SIZE
        change = (submission.run_transformer_lm(**model, in_indices=changed) - before).abs().amax(-1)
        assert t == 0 or change[:, :t].max() < 1e-4, f"a change of the tokens from {t} on changes logits before {t}"
        assert change[:, t:].min() > 1e-5, (
            f"a change of the tokens from {t} on leaves some logits from {t} on as they were"
        )


def test_sequences_are_independent(submission):
    """The logits of a sequence do not depend on the other sequences of the batch.

    Asked: problem transformer_lm: a batch holds sequences, each with logits of its own.
    """
    draw = Draw(0, "independent sequences")
    model = drawn_model(draw)
    ids = draw.integers(0, VOCAB_SIZE, 4, SEQ_LEN)
    together = submission.run_transformer_lm(**model, in_indices=ids)
    for i in range(4):
        alone = submission.run_transformer_lm(**model, in_indices=ids[i : i + 1])
        shape = (1, SEQ_LEN, VOCAB_SIZE)
        assert alone.shape == shape, f"expected shape {shape}, got {tuple(alone.shape)}"
        change = (alone[0] - together[i]).abs().max().item()
        assert change < 1e-4, f"sequence {i} alone and in a batch of 4 gives logits that differ by up to {change:.3g}"
    assert (together[0] - together[1]).abs().max() > 1e-2, "different sequences give the same logits"


def test_every_weight_is_used(submission):
    """Each weight of the blocks, the final norm, the embedding and the head affects the logits.

    Asked: problem transformer_lm: num_layers blocks, then a norm and a head with weights of their own.
    """
    draw = Draw(0, "weights of a model")
    model = drawn_model(draw)
    ids = draw.integers(0, VOCAB_SIZE, 2, SEQ_LEN)
    before = submission.run_transformer_lm(**model, in_indices=ids)
    for name, weight in model["weights"].items():
        changed = {**model, "weights": model["weights"] | {name: weight.flip(-1)}}
        change = (submission.run_transformer_lm(**changed, in_indices=ids) - before).abs().max()
        assert change > 1e-4, f"{name} was changed, and the logits were not"


def test_head_is_not_tied(submission):
    """The head has its own weight: the embedding of a token that does not occur has no effect.

    Asked: problem transformer_lm: the head is a linear layer, and the adapter's weights name both.
    """
    draw = Draw(0, "untied head")
    model = drawn_model(draw)
    ids = draw.integers(0, VOCAB_SIZE - 1, 2, SEQ_LEN)
    before = submission.run_transformer_lm(**model, in_indices=ids)
    for name, wanted in (("token_embeddings.weight", False), ("lm_head.weight", True)):
        weight = model["weights"][name].clone()
        weight[-1] += 1
        changed = {**model, "weights": model["weights"] | {name: weight}}
        change = (submission.run_transformer_lm(**changed, in_indices=ids) - before).abs().max().item()
        what = f"row {VOCAB_SIZE - 1} of {name} was changed, a token that no sequence contains"
        assert (change > 1e-4) is wanted, f"{what}, and the logits changed by up to {change:.3g}"


@pytest.mark.cases
def test_matches_reference(submission, case):
    """The model embeds the tokens, applies every block, then the final norm, and returns logits, not probabilities.

    Asked: problem transformer_lm, and the figure of the model.
    """
    case.check(submission.run_transformer_lm(**case.inputs))


@pytest.mark.cases("ends")
def test_embedding_and_head(submission, case):
    """With blocks at zero, vectors of root mean square 1 and gains of 1, a logit is head row times embedding.

    Asked: problem transformer_lm: embedding first, head last, unnormalised logits.
    """
    case.check(submission.run_transformer_lm(**case.inputs))


@pytest.mark.cases("ranking")
def test_ranking(submission, case):
    """If head and embedding have equal weights, the tokens are ranked correctly at every position.

    Asked: problem transformer_lm, and the figure of the model.
    """
    expected, output = case.expected, submission.run_transformer_lm(**case.inputs)
    if getattr(output, "shape", None) != expected.shape:
        case.check(output)  # says what it is instead
    ranked = expected.sort(-1)
    apart = ranked.values.diff(dim=-1) > 1e-3 * expected.std()  # nearer ones are not told apart
    falls = (output.gather(-1, ranked.indices).diff(dim=-1) < 0) & apart
    assert not falls.any(), (
        f"at {int(falls.any(-1).sum())} of {falls[..., 0].numel()} positions, some token is scored below another one "
        "that it should be above"
    )
    spread = output.amax(-1) - output.amin(-1)
    assert torch.isfinite(spread).all(), "not all scores are finite"
    assert spread.min() > 0, "all tokens have the same score somewhere"


@pytest.mark.relation
@pytest.mark.cases("truncated")
def test_short_sequences(submission, case):
    """Sequences may be shorter than context_length: they give the same logits as the start of a longer one.

    Asked: problem transformer_lm: context_length is the maximum.
    """
    ids, longest = case.inputs["in_indices"], case.inputs["context_length"]
    longer = torch.cat([ids, ids.new_zeros(len(ids), longest - ids.shape[-1])], dim=-1)
    short = submission.run_transformer_lm(**case.inputs)
    whole = submission.run_transformer_lm(**{**case.inputs, "in_indices": longer})
    compare(whole[:, : ids.shape[-1]], short, SAME, "logits, beside those of the same tokens with others after them")


@pytest.mark.relation
@pytest.mark.cases("theta")
def test_theta(submission, case):
    """All blocks use RoPE with base rope_theta: it affects every token except the first, which is not rotated.

    Asked: the argument rope_theta of the adapter.
    """
    one = submission.run_transformer_lm(**case.inputs)
    other = submission.run_transformer_lm(**{**case.inputs, "rope_theta": 1e6})
    change = (one - other).abs().amax(-1)
    scale = (one.amax(-1) - one.amin(-1)).max()
    assert change[..., 0].max() < 1e-4 * scale, (
        f"another rope_theta changes logits at position 0 by {change[..., 0].max():.3g}"
    )
    assert change[..., 1:].amax(-1).min() > 1e-5 * scale, (
        f"rope_theta = {case.inputs['rope_theta']:g} and rope_theta = 1e6 give the same logits for some sequence"
    )


@pytest.mark.cases("trained")
def test_trained_weights(submission, case):
    """The weights of a model trained elsewhere give that model's logits here.

    Asked: problem transformer_lm; the public tests load trained weights, too.
    """
    case.check(submission.run_transformer_lm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("many_layers")
def test_layers_come_in_the_order_of_their_numbers(submission, case):
    """With twelve layers, layers.10 comes after layers.9, not after layers.1, as the names would have it.

    Asked: problem transformer_lm: num_layers is any number, and the weights of layer i are named layers.i.
    """
    case.check(submission.run_transformer_lm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("eps")
def test_eps(submission, case):
    """The final norm uses eps = 1e-5; this matters when its input is small.

    Asked: problem rmsnorm, the default of eps.
    """
    case.check(submission.run_transformer_lm(**case.inputs))


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("strided")
def test_strided_ids(submission, case):
    """The layout of the token ids in memory does not matter.

    Asked: plain safety: batches may be cut out of larger tensors.
    """
    contiguous = {**case.inputs, "in_indices": case.inputs["in_indices"].contiguous()}
    compare(
        submission.run_transformer_lm(**contiguous),
        submission.run_transformer_lm(**case.inputs),
        SAME,
        "logits, beside those for a contiguous copy",
    )


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """The model does not modify the token ids.

    Asked: plain safety: inputs belong to the caller.
    """
    check_untouched(submission, case, "in_indices")


def new_model(submission):
    """A new model of CONFIG."""
    draw = Draw(0, "a new model")
    inputs = {**CONFIG, "weights": draw_weights(draw, SHAPES), "in_indices": draw.integers(0, 90, 1, 4)}
    return new(submission, "run_transformer_lm", inputs, "a new model")


@pytest.mark.edge
def test_parameters(submission):
    """A new model registers each of its weights once, and all of them are trainable.

    Asked: problem transformer_lm, made of the layers before it; a head of its own; no layer has a bias.
    """
    new_model(submission).check_registered(WEIGHTS, by_shape=False)


@pytest.mark.edge
def test_initial_weights(submission):
    """Every weight of a new model is initialised as the assignment says: embedding, Linear layers and gains.

    Asked: section "parameter initialization".
    """
    check_own_start(submission, new_model(submission), WEIGHTS, made_of=["Linear", "Embedding"])


@pytest.mark.edge
@pytest.mark.cases("weight_gradients")
def test_every_parameter_learns(submission, case):
    """The gradient of the logits reaches every weight.

    Asked: problem transformer_lm: training must reach all of it.
    """
    check_parameter_gradients(case, submission.parameter_gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.own_adapter
def test_device_and_dtype(submission):
    """A new model has all of its parameters on the requested device and in the requested dtype.

    Asked: the parameters `device` and `dtype` of its layers.
    """
    check_placement(submission, "get_transformer_lm_module", CONFIG, "a new model")
