"""Checkpoints: what is saved in mid-training and loaded elsewhere goes on as if nothing had happened.

A driver trains a small model with PyTorch's own optimizers, saves it, loads it into another model and optimizer, and
trains both on. It is all in float32 on one machine, so the results are the same to the last bit.
"""

import pytest
import torch


def check_same(expected, found, what):
    for name, value in expected.items():
        assert torch.equal(found[name], value), f"{name} differs: {what}"


def check_loads(result):
    """Loading gave the other model the state of the saved one, which it did not have before."""
    assert not torch.equal(result["before_loading"]["0.weight"], result["saved"]["0.weight"])
    check_same(result["saved"], result["loaded"], "the loaded model is not the saved one")


def check_resumes(result):
    """Training goes on after loading exactly as it does without the interruption."""
    check_same(
        result["uninterrupted"],
        result["resumed"],
        "after loading, three more training steps lead elsewhere than without the interruption, "
        "so the optimizer's state (moments, step count, learning rate) is not what was saved",
    )


@pytest.mark.parametrize("target", ["path", "str"])
def test_weights(submission, target):
    """All weights of the model are restored, bit for bit."""
    check_loads(submission.checkpoint_round_trip(seed=1, iteration=10, target=target))


@pytest.mark.parametrize("iteration", [0, 17, 2_000_000])
def test_iteration(submission, iteration):
    """Loading returns the iteration that was saved, as an int."""
    found = submission.checkpoint_round_trip(seed=2, iteration=iteration)["iteration"]
    assert type(found) is int, f"expected the int {iteration}, got {found!r} of type {type(found).__name__}"
    assert found == iteration, f"expected iteration {iteration}, got {found}"


@pytest.mark.parametrize("seed", [3, 4])
def test_optimizer(submission, seed):
    """The optimizer is restored too: a resumed run equals an uninterrupted one, bit for bit."""
    check_resumes(submission.checkpoint_round_trip(seed=seed, iteration=5))


@pytest.mark.edge
def test_file_object(submission):
    """A binary file object serves as well as a path."""
    check_loads(submission.checkpoint_round_trip(seed=5, iteration=8, target="file"))


@pytest.mark.edge
def test_other_optimizer(submission):
    """Nothing depends on AdamW: SGD with momentum resumes as well."""
    check_resumes(submission.checkpoint_round_trip(seed=6, iteration=5, optimizer="sgd"))


@pytest.mark.edge
def test_buffers(submission):
    """Buffers, such as the running mean of a normalisation, are part of the model's state."""
    check_loads(submission.checkpoint_round_trip(seed=7, iteration=5, buffers=True))


@pytest.mark.edge
@pytest.mark.parametrize("evaluating", [False, True], ids=["training", "evaluating"])
def test_saving_leaves_the_model_alone(submission, evaluating):
    """Saving changes neither the weights of the live model nor whether it is training."""
    result = submission.checkpoint_round_trip(seed=8, iteration=5, evaluating=evaluating)
    check_same(result["saved"], result["live"], "saving changed the live model")
    assert result["live_is_training"] is not evaluating, "saving switched between model.train() and model.eval()"
    check_loads(result)


@pytest.mark.edge
def test_replaces_an_older_checkpoint(submission):
    """A checkpoint saved to the path of an older one replaces it."""
    check_loads(submission.checkpoint_round_trip(seed=9, iteration=12, saved_before=True))


@pytest.mark.edge
def test_loads_over_a_trained_model(submission):
    """Loading into a model and an optimizer that have trained already leaves nothing of their own state."""
    check_resumes(submission.checkpoint_round_trip(seed=10, iteration=5, trained_before=True))
