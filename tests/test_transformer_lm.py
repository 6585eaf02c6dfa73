"""The Transformer language model: embedding, blocks, final norm, and a score for every next token."""

from typing import Any

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.initialisation import check_truncated_normal
from grader.cases.placement import check_placement
from grader.cases.weights import draw_weights, lm_shapes

CONFIG = {
    "vocab_size": 90,
    "context_length": 16,
    "d_model": 48,
    "num_layers": 3,
    "num_heads": 4,
    "d_ff": 80,
    "rope_theta": 10000.0,
}
SHAPES = lm_shapes(vocab_size=90, d_model=48, num_layers=3, d_ff=80)
SEQ_LEN = 8


def drawn_model(draw: Draw) -> dict[str, Any]:
    """A small model, as arguments of the adapter."""
    weights = draw_weights(draw, lm_shapes(vocab_size=20, d_model=8, num_layers=2, d_ff=16))
    sizes = {"vocab_size": 20, "context_length": SEQ_LEN, "d_model": 8, "num_layers": 2, "num_heads": 2, "d_ff": 16}
    return {**sizes, "rope_theta": 1e4, "weights": weights}


def test_causal(submission):
    """No logits depend on a later token, and all depend on their own."""
    draw = Draw(0, "causal model")
    model = drawn_model(draw)
    ids = draw.integers(0, 20, 2, SEQ_LEN)
    before = submission.run_transformer_lm(**model, in_indices=ids)
    for t in (0, SEQ_LEN // 2, SEQ_LEN - 1):
        changed = ids.clone()
        changed[:, t:] = (ids[:, t:] + 1 + draw.integers(0, 19, 2, SEQ_LEN - t)) % 20
        change = (submission.run_transformer_lm(**model, in_indices=changed) - before).abs().amax(-1)
        assert t == 0 or change[:, :t].max() < 1e-4, f"a change of the tokens from {t} on changes logits before {t}"
        assert change[:, t:].min() > 1e-5, (
            f"a change of the tokens from {t} on leaves some logits from {t} on as they were"
        )


def test_sequences_are_independent(submission):
    """The logits of a sequence do not depend on the other sequences of the batch."""
    draw = Draw(0, "independent sequences")
    model = drawn_model(draw)
    ids = draw.integers(0, 20, 4, SEQ_LEN)
    together = submission.run_transformer_lm(**model, in_indices=ids)
    for i in range(4):
        alone = submission.run_transformer_lm(**model, in_indices=ids[i : i + 1])
        assert alone.shape == (1, SEQ_LEN, 20), f"expected shape {(1, SEQ_LEN, 20)}, got {tuple(alone.shape)}"
        change = (alone[0] - together[i]).abs().max().item()
        assert change < 1e-4, f"sequence {i} alone and in a batch of 4 gives logits that differ by up to {change:.3g}"
    assert (together[0] - together[1]).abs().max() > 1e-2, "different sequences give the same logits"


@pytest.mark.cases
def test_matches_reference(submission, case):
    """The model embeds the tokens, applies every block, normalises once more and gives logits, not probabilities."""
    case.check(submission.run_transformer_lm(**case.inputs))


@pytest.mark.cases("truncated")
def test_short_sequences(submission, case):
    """Sequences may be shorter than context_length; there are as many outputs as tokens."""
    case.check(submission.run_transformer_lm(**case.inputs))


@pytest.mark.cases("untied")
def test_head_is_not_tied(submission, case):
    """The head has a weight of its own; the token embedding is not used twice."""
    case.check(submission.run_transformer_lm(**case.inputs))


@pytest.mark.cases("theta")
def test_theta(submission, case):
    """All blocks use RoPE with rope_theta as its base."""
    case.check(submission.run_transformer_lm(**case.inputs))


@pytest.mark.cases("trained")
def test_trained_weights(submission, case):
    """A model that was trained elsewhere gives its logits here."""
    case.check(submission.run_transformer_lm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("eps")
def test_eps(submission, case):
    """The final norm uses eps = 1e-5, which shows when its input is small."""
    case.check(submission.run_transformer_lm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_ids(submission, case):
    """The layout of the token ids in memory does not matter."""
    case.check(submission.run_transformer_lm(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """The model leaves the token ids and the weights as they were."""
    case.check(submission.inputs_after(**case.inputs))


@pytest.mark.edge
@pytest.mark.own_adapter
def test_parameters(submission):
    """A new model has the parameters that the contract names, each once, and all of them trainable."""
    state = submission.module_state(factory="get_transformer_lm_module", config=CONFIG, seed=0)
    shapes = {name: tuple(value.shape) for name, value in state["parameters"].items()}
    missing, extra = sorted(SHAPES.keys() - shapes.keys()), sorted(shapes.keys() - SHAPES.keys())
    assert not missing, f"{len(missing)} parameters are missing (or are the same tensor as another one): {missing[:4]}"
    assert not extra, f"there are {len(extra)} parameters that the contract does not name: {extra[:4]}"
    wrong = {name: shapes[name] for name in SHAPES if shapes[name] != SHAPES[name]}
    assert not wrong, f"these parameters have another shape than they should: {wrong}"
    frozen = [name for name, trained in state["requires_grad"].items() if not trained]
    assert not frozen, f"these have requires_grad=False, so they would never be trained: {frozen[:4]}"


@pytest.mark.edge
@pytest.mark.own_adapter
def test_state_dict(submission):
    """The state dict has at least the contract's keys, so that a checkpoint keeps the whole model."""
    state = submission.module_state(factory="get_transformer_lm_module", config=CONFIG, seed=0)
    missing = sorted(SHAPES.keys() - state["state_dict"].keys())
    assert not missing, f"{len(missing)} keys are missing from the state dict: {missing[:4]}"


@pytest.mark.edge
@pytest.mark.own_adapter
def test_initial_weights(submission):
    """Every weight of a new model starts as the assignment says: embedding, Linear layers and gains."""
    state = submission.module_state(factory="get_transformer_lm_module", config=CONFIG, seed=1)
    for name, shape in SHAPES.items():
        assert name in state["parameters"], f"a new model has no parameter called {name}"
        weight = state["parameters"][name]
        if len(shape) == 1:
            assert torch.equal(weight, torch.ones(shape)), f"the gains in {name} of a new model are not all 1"
        else:
            std = 1.0 if name == "token_embeddings.weight" else (2 / sum(shape)) ** 0.5
            check_truncated_normal(weight, std, f"{name} of a new model")
    blocks = [state["parameters"][f"layers.{i}.attn.q_proj.weight"] for i in range(2)]
    assert not torch.equal(*blocks), "two blocks of a new model start with the same numbers"


@pytest.mark.edge
@pytest.mark.own_adapter
def test_every_parameter_learns(submission):
    """The gradient of the logits reaches every parameter."""
    ids = Draw(0, "learning").integers(0, 90, 4, 16)
    gradients = submission.module_gradients(factory="get_transformer_lm_module", config=CONFIG, seed=0, example=ids)
    missing = sorted(SHAPES.keys() - gradients.keys())
    assert not missing, f"{len(missing)} parameters are missing: {missing[:4]}"
    idle = [name for name in SHAPES if gradients[name] is None or not gradients[name].any()]
    assert not idle, f"no gradient arrives at {len(idle)} parameters: {idle[:4]}"


@pytest.mark.edge
@pytest.mark.own_adapter
def test_device_and_dtype(submission):
    """A new model has all of its parameters on the device and in the dtype that are asked for."""
    check_placement(submission, "get_transformer_lm_module", CONFIG, "a new model")
