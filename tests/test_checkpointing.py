"""Checkpoints: what is saved in mid-training and loaded elsewhere goes on as if nothing had happened.

A driver trains a small model with PyTorch's own optimizers, saves it, loads it into another model and optimizer, and
trains both on. It is all in float32 on one machine, so the results are the same to the last bit. What counts most is
loaded in a process of its own, which can know of the checkpoint only what lies on the disk.
"""

import pytest
import torch

ELSEWHERE = {
    **{f"weights, {target}": {"seed": 1, "iteration": 10, "target": target} for target in ("path", "str")},
    **{f"iteration {number}": {"seed": 2, "iteration": number} for number in (0, 17, 2_000_000)},
    **{f"optimizer, {seed}": {"seed": seed, "iteration": 5, "weights_given": True} for seed in (3, 4)},
}
"""What is loaded in a process of its own."""


@pytest.fixture(scope="module")
def elsewhere(submission):
    """All that is loaded in a process of its own, made at once: to start it takes seconds."""
    results = submission.checkpoints_elsewhere(jobs=list(ELSEWHERE.values()))
    return dict(zip(ELSEWHERE, results, strict=True))


@pytest.fixture
def restored(submission, elsewhere):
    """`restored("weights, path")`: what came of one of these."""

    def look_up(name):
        result = submission.note(elsewhere[name])
        assert "error" not in result, result["error"]
        return result

    return look_up


def check_same(expected, found, what):
    for name, value in expected.items():
        assert torch.equal(found[name], value), f"{name} differs: {what}"


def check_loads(result):
    """Loading gave the other model the state of the saved one, which it did not have before."""
    assert not torch.equal(result["before_loading"]["0.weight"], result["saved"]["0.weight"])
    check_same(result["saved"], result["loaded"], "the loaded model is not the saved one")


def check_iteration(result, iteration):
    """What was saved is what was loaded, as far as its iteration says."""
    found = result["iteration"]
    assert type(found) is int, f"expected the int {iteration}, got {found!r} of type {type(found).__name__}"
    assert found == iteration, f"expected iteration {iteration}, got {found}"


def check_resumes(result):
    """With the saved weights, training goes on after loading exactly as it does without the interruption."""
    check_same(
        result["uninterrupted"],
        result["resumed"],
        "after loading, three more training steps lead elsewhere than without the interruption, "
        "so the optimizer's state (moments, step count, learning rate) is not what was saved",
    )


@pytest.mark.decisive
@pytest.mark.parametrize("target", ["path", "str"])
def test_weights(restored, target):
    """All weights of the model are restored, bit for bit, even in another process.

    Asked: problem checkpointing: the model's state is dumped to a path and restored from it.
    """
    check_loads(restored(f"weights, {target}"))


@pytest.mark.decisive
@pytest.mark.parametrize("iteration", [0, 17, 2_000_000])
def test_iteration(restored, iteration):
    """Loading returns the saved iteration as an int, even in another process.

    Asked: problem checkpointing: load_checkpoint returns the iteration number that was saved.
    """
    check_iteration(restored(f"iteration {iteration}"), iteration)


@pytest.mark.decisive
@pytest.mark.parametrize("seed", [3, 4])
def test_optimizer(restored, seed):
    """The optimizer is restored, too: a run resumed in another process equals an uninterrupted one, bit for bit.

    Asked: problem checkpointing: the optimizer's state is dumped and restored with the model's.
    """
    check_resumes(restored(f"optimizer, {seed}"))


@pytest.mark.edge
def test_file_object(submission):
    """A binary file object works as well as a path.

    Asked: the signatures of run_save_checkpoint and run_load_checkpoint, which take binary files, too.
    """
    check_iteration(submission.checkpoint_round_trip(seed=5, iteration=8, target="file"), 8)


@pytest.mark.edge
def test_one_file(submission):
    """The checkpoint is one file at the given path: moved alone and renamed, it still loads.

    Asked: problem checkpointing: everything is dumped into the target `out`, and restored from `src`.
    """
    result = submission.checkpoint_round_trip(seed=11, iteration=5, only_the_file=True, weights_given=True)
    check_iteration(result, 5)
    check_resumes(result)


@pytest.mark.edge
def test_other_optimizer(submission):
    """Checkpoints do not depend on AdamW: SGD with momentum resumes as well.

    Asked: the signatures of both functions, whose optimizer is any torch.optim.Optimizer.
    """
    check_resumes(submission.checkpoint_round_trip(seed=6, iteration=5, optimizer="sgd", weights_given=True))


@pytest.mark.edge
def test_buffers(submission):
    """Buffers, such as running means, and weights that do not train are part of the model's state.

    Asked: problem checkpointing, which points to the module's state_dict; buffers are in it, and so are all weights.
    """
    result = submission.checkpoint_round_trip(seed=7, iteration=5, buffers=True)
    assert not torch.equal(result["before_loading"]["0.bias"], result["saved"]["0.bias"])
    for name in ("1.running_mean", "1.running_var", "1.num_batches_tracked", "0.bias"):
        what = "the weight without gradients" if name == "0.bias" else "the buffer"
        saved, loaded = (result[when][name] for when in ("saved", "loaded"))
        assert torch.equal(saved, loaded), f"{what} {name} is {loaded.tolist()}; saved was {saved.tolist()}"


@pytest.mark.edge
@pytest.mark.parametrize("evaluating", [False, True], ids=["training", "evaluating"])
def test_saving_leaves_the_model_alone(submission, evaluating):
    """Saving changes neither the live model's weights nor its training mode.

    Asked: plain safety: the run goes on with the model that was saved.
    """
    result = submission.checkpoint_round_trip(seed=8, iteration=5, evaluating=evaluating)
    check_same(result["saved"], result["live"], "saving changed the live model")
    assert result["live_is_training"] is not evaluating, "saving switched between model.train() and model.eval()"


@pytest.mark.edge
def test_loading_leaves_the_model_training(submission):
    """A model in training mode is still in training mode after loading.

    Asked: plain safety: dropout that stays off changes a run without a word.
    """
    result = submission.checkpoint_round_trip(seed=12, iteration=5)
    assert result["loaded_is_training"], "loading switched the model to evaluation mode"


@pytest.mark.edge
def test_refuses_another_model(submission):
    """Loading a checkpoint of a model whose weights have other names is an error.

    Asked: plain safety: load_state_dict refuses it unless it is told not to.
    """
    error = submission.checkpoint_of_another_model()["error"]
    assert error is not None, (
        "the checkpoint of a model with the weights 0 and 3 was loaded into one with 0, 1 and 2, without an error"
    )


@pytest.mark.edge
def test_replaces_an_older_checkpoint(submission):
    """A checkpoint saved to the path of an older one replaces it.

    Asked: plain safety: a training loop saves to one path again and again.
    """
    check_iteration(submission.checkpoint_round_trip(seed=9, iteration=12, saved_before=True), 12)


@pytest.mark.edge
def test_loads_over_a_trained_model(submission):
    """Loading into a model and optimizer that were already trained replaces all of their state.

    Asked: problem checkpointing: loading restores the state that was saved.
    """
    check_resumes(submission.checkpoint_round_trip(seed=10, iteration=5, trained_before=True, weights_given=True))
