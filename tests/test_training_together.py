"""The training loop, judged by what it leaves: weights, metrics, checkpoints, a curve.

A driver lays out data, calls `run_train` and brings back the files of the run's folder. What the loop prints or returns
counts for nothing, and a loss counts when the weights have it: they are loaded into a model and measured.

What is judged is the loop, not what it is made of: wrong parts were charged in problems of their own, so wherever a
part shows, what follows from the submission's own is right as well (`grader/diagnosis/own_parts.py`).
"""

import itertools
import json
import math
import struct
import xml.etree.ElementTree

import numpy as np
import pytest
import torch

from grader.artifacts.consistency import faults_of_curve, faults_of_weights
from grader.artifacts.held_out import bigram_loss, language
from grader.artifacts.run import Run
from grader.submission.files import Files

pytestmark = pytest.mark.own_adapter

# A run of a fraction of a second. Its gradients are about as large as max_grad_norm.
SMALL = {
    "vocab_size": 64,
    "context_length": 16,
    "d_model": 32,
    "num_layers": 1,
    "num_heads": 2,
    "d_ff": 64,
    "rope_theta": 10_000.0,
    "norm": "pre",
    "position": "rope",
    "ffn": "swiglu",
    "batch_size": 8,
    "accumulation_steps": 1,
    "steps": 6,
    "max_lr": 1e-2,
    "min_lr": 1e-3,
    "warmup_steps": 2,
    "beta1": 0.9,
    "beta2": 0.98,
    "eps": 1e-8,
    "weight_decay": 0.1,
    "max_grad_norm": 1.0,
    "eval_every": 4,
    "eval_batches": 3,
    "checkpoint_every": 3,
    "seed": 5,
    "device": "cpu",
    "dtype": "float32",
}
LANGUAGE = SMALL | {
    "vocab_size": 256,
    "context_length": 32,
    "d_model": 64,
    "d_ff": 192,
    "batch_size": 16,
    "steps": 250,
    "warmup_steps": 20,
    "eval_every": 60,
    "eval_batches": 20,
    "checkpoint_every": 100,
}
INTERRUPTED = SMALL | {"steps": 150, "warmup_steps": 60, "eval_every": 37, "checkpoint_every": 40}
# Too small a rate for any step to show: what is left are the first weights.
START = {"max_lr": 1e-12, "min_lr": 1e-12, "steps": 1, "warmup_steps": 0}
# With such an eps the gradient moves nothing, and all that is left of AdamW is the decay of the weights.
FROZEN = {"eps": 1e9, "weight_decay": 0.5, "max_lr": 0.6, "min_lr": 0.1, "steps": 9, "warmup_steps": 4}
# With eps = 1 a step is about as long as the gradient, where with a small eps its length hardly shows.
BY_LENGTH = {"eps": 1.0, "weight_decay": 1e-9, "max_lr": 0.5, "min_lr": 0.5, "warmup_steps": 0, "steps": 4}

TOKENS = np.random.default_rng(336).integers(0, 64, 6000).astype(np.uint16)
VALID = np.random.default_rng(337).integers(0, 64, 900).astype(np.uint16)


@pytest.fixture
def train(submission, tmp_path):
    """Train with some values of SMALL changed."""

    numbers = itertools.count()

    def run(changes, **data):
        files = submission.training_run(**{"config": SMALL | changes, "train": TOKENS, "valid": VALID, **data})
        return open_run(files, SMALL | changes, tmp_path / str(next(numbers)))

    return run


@pytest.fixture(scope="module")
def foreign(chance_of_file):
    """What the longest run is about: a configuration, and text to train on and to measure on.

    All of it is drawn, so that nobody can hand in weights that were trained somewhere else.
    """
    drawn = {
        "d_model": chance_of_file.choice([56, 64, 72]),
        "num_heads": chance_of_file.choice([2, 4]),
        "steps": chance_of_file.randint(240, 255),
        "seed": chance_of_file.randrange(1 << 20),
    }
    return LANGUAGE | drawn, *language(chance_of_file)


@pytest.fixture(scope="module")
def spoken(submission, foreign, tmp_path_factory):
    """A run on text, byte by byte: the longest one, made once for all tests that look at it."""
    config, train, valid = foreign
    files = submission.training_run(config=config, train=train, valid=valid)
    return open_run(files, config, tmp_path_factory.mktemp("spoken"))


def open_run(files, config, folder):
    """A run's files, beside the configuration that was asked for."""
    (folder / "run").mkdir(parents=True)
    for name, content in files.items():
        (folder / "run" / name).write_bytes(content)
    (folder / "run" / "config.toml").write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items())
    )
    for name in ("metrics.jsonl", "model.safetensors"):
        assert name in files, f"there is no {name} in the run's folder, only {', '.join(sorted(files)) or 'nothing'}"
    run = Run(Files(folder), "run")
    for fault in faults_of_weights(run):
        pytest.fail(fault)
    return run


def check_steps(run):
    """Each step from 1 to the last has one line."""
    steps = [record.step for record in run.records]
    wanted = list(range(1, run.config.steps + 1))
    if steps != wanted:
        twice = sorted({step for step in steps if steps.count(step) > 1})
        missing = sorted(set(wanted) - set(steps))
        raise AssertionError(
            f"metrics.jsonl should have one line for each step from 1 to {run.config.steps}: {len(missing)} are missing"
            f"{f' (the first {missing[0]})' if missing else ''} and {len(twice)} are there more than once"
            f"{f' (the first {twice[0]})' if twice else ''}"
        )


def check_same_weights(one, other, what):
    for name, weight in one.weights.items():
        assert torch.equal(weight, other.weights[name]), (
            f"{name} differs by up to {(weight - other.weights[name]).abs().max():.3g}: {what}"
        )


def moved(run, start):
    """How far all weights together are from where they started."""
    return math.sqrt(sum(float((weight - start.weights[name]).square().sum()) for name, weight in run.weights.items()))


def own_rates(submission, config):
    """The learning rates of the submission's own schedule; None where it gives none."""
    names = {"max_lr": "max_learning_rate", "min_lr": "min_learning_rate", "warmup_steps": "warmup_iters"}
    schedule = {name: getattr(config, key) for key, name in names.items()} | {"cosine_cycle_iters": config.steps}
    try:
        return submission.learning_rates(iterations=list(range(config.steps + 1)), schedule=schedule)
    except Exception:  # whatever is wrong with it is said where it is asked for
        return None


def check_curve(submission, run):
    """The metrics follow from the configuration, with the right schedule or with the submission's own."""
    if any(faults_of_curve(run)):
        for fault in faults_of_curve(run, own_rates(submission, run.config)):
            pytest.fail(fault)


def claims_truly(claimed, measured, within):
    """Whether a loss is one of those that were measured; losses of other kinds may be larger."""
    return any(abs(claimed - loss) < within * max(1.0, abs(loss) / 4) for loss in measured)


@pytest.mark.decisive
def test_learns(spoken, foreign, own_parts):
    """After a short training, the weights reach a loss on new text that no bigram model reaches.

    Asked: problem training_together: a loop that trains the model.
    """
    config, train, valid = foreign
    bigram = bigram_loss(train, valid, 256)
    measured = []
    for loss in own_parts.losses_of_learning(spoken.config, spoken.weights, valid):
        if loss < bigram:
            return
        measured.append(loss)
    # With some wrong parts the best of loops learns something else: then this one has to do as it does.
    if (weights := own_parts.trained(config, train, valid)) is not None:
        usual = next(own_parts.losses(spoken.config, weights, valid))
        if usual > bigram and abs(measured[0] - usual) < 0.1 * usual:
            return
    raise AssertionError(
        f"after {spoken.config.steps} steps the weights have a loss of {measured[0]:.3f} nats per byte on other text; "
        f"counting pairs of bytes gives {bigram:.3f}"
    )


def test_reports(submission, spoken):
    """The metrics have every step once, with tokens, time, learning rate and losses as configured.

    Asked: problem training_together: training and validation performance are logged periodically.
    """
    check_steps(spoken)
    check_curve(submission, spoken)


def test_losses_are_true(spoken, foreign, own_parts):
    """The losses in the metrics are about those of the weights.

    Asked: problem training_together: what is logged is the performance of the model.
    """
    measured, claimed = [], spoken.final_loss
    for loss in own_parts.losses(spoken.config, spoken.weights, foreign[2]):
        measured.append(loss)
        if claims_truly(claimed, [loss], 0.2):
            break
    else:
        raise AssertionError(
            f"the metrics end with a val_loss of {claimed:.3f}, but the weights have {measured[0]:.3f} on the "
            "validation data"
        )
    if len(measured) > 1 or claimed > bigram_loss(*foreign[1:], 256):  # made of wrong parts, or without learning
        return
    first, last = spoken.records[0].train_loss, spoken.records[-1].train_loss
    assert abs(first - math.log(256)) < 1.5, (
        f"the first train_loss is {first:.3f}; knowing nothing costs ln(256) = 5.545"
    )
    assert abs(last - claimed) < 0.6, f"the last train_loss is {last:.3f}, the loss on other text is {claimed:.3f}"


@pytest.mark.decisive
def test_learning_rate_is_applied(submission, train):
    """Every step uses the learning rate in the metrics, and this follows the schedule.

    Asked: problem training_together: the optimizer's hyperparameters are configured; problem learning_rate_schedule.
    """
    start, decayed = train(START), train(FROZEN)
    check_curve(submission, decayed)
    name = "layers.0.ffn.w1.weight"
    first, left = start.weights[name], decayed.weights[name]
    rates = [record.lr for record in decayed.records]
    expected = math.prod(1 - FROZEN["weight_decay"] * rate for rate in rates)
    factor = float((left * first).sum() / first.square().sum())
    if abs(factor - expected) < 1e-3:
        return
    own = decayed_by(submission, first, rates)
    assert own is not None, (
        f"with a gradient of no weight (eps = 1e9), {len(rates)} steps should shrink weights by the product of "
        f"1 - lr * weight_decay, {expected:.4f}; they were multiplied by {factor:.4f}"
    )
    error = float((left - own).norm() / (first - own).norm())
    assert error < 1e-2, (
        f"with a gradient of no weight (eps = 1e9), {len(rates)} steps should change weights as your own AdamW does "
        f"with the rates in the metrics; they differ by {error:.1%} of that change"
    )


def decayed_by(submission, weight, rates):
    """A weight after steps of the submission's own optimizer without a gradient; None where it is the right one's."""
    options = {"lr": rates[0], "betas": (SMALL["beta1"], SMALL["beta2"])}
    options |= {name: FROZEN[name] for name in ("eps", "weight_decay")}
    try:
        trajectory = submission.adamw_trajectory(
            parameters=[weight],
            gradients=[[torch.zeros_like(weight)]] * len(rates),
            options=options,
            learning_rates={step: [rate] for step, rate in enumerate(rates)},
        )
    except Exception:  # whatever is wrong with it is said where it is asked for
        return None
    own = list(trajectory.values())[-1]["parameter 0"]
    right = weight * math.prod(1 - FROZEN["weight_decay"] * rate for rate in rates)
    moves = (own - weight).norm() > 0.05 * weight.norm() and bool(own.isfinite().all())
    return own if moves and (own - right).norm() > 1e-2 * weight.norm() else None


@pytest.mark.edge
def test_val_loss_is_exact(spoken, foreign, own_parts):
    """val_loss is the mean over the first eval_batches * batch_size consecutive windows of valid_data.

    Asked: the documentation of TrainConfig, eval_batches.
    """
    check_claimed(own_parts, spoken, foreign[2], "on those windows the weights have")


def check_claimed(own_parts, run, tokens, what):
    """The last val_loss is, to three digits, what the weights have."""
    measured = []
    for loss in own_parts.losses(run.config, run.weights, tokens):
        if claims_truly(run.final_loss, [loss], 1e-3):
            return
        measured.append(loss)
    raise AssertionError(f"the metrics end with a val_loss of {run.final_loss:.5f}; {what} {measured[0]:.5f}")


@pytest.mark.edge
@pytest.mark.parametrize(("key", "value"), [("norm", "none"), ("norm", "post"), ("position", "none"), ("ffn", "silu")])
def test_architecture(train, own_parts, key, value):
    """norm, position and ffn change the architecture: both the set of weights and the computation.

    Asked: the documentation of TrainConfig, the ablations of the experiments.
    """
    run = train({key: value, "d_ff": 128, "num_layers": 2})
    check_claimed(own_parts, run, VALID, f"with {key} = {value!r} the weights have")


@pytest.mark.edge
def test_seed(train):
    """The same configuration gives the same weights, bit for bit; another seed gives other weights.

    Asked: the documentation of TrainConfig, seed.
    """
    one, again, other = train({}), train({}), train({"seed": 6})
    check_same_weights(one, again, "two runs with the same configuration should give the same weights")
    assert moved(other, one) > 1, "a run with another seed ends with the same weights"


@pytest.mark.edge
def test_clips(train):
    """Gradients are clipped to max_grad_norm before a step.

    Asked: the documentation of TrainConfig, max_grad_norm; problem gradient_clipping.
    """
    start = train(START)
    short, free = (moved(train(BY_LENGTH | {"max_grad_norm": norm}), start) for norm in (1e-4, 1e9))
    assert 1e-5 < short < 1e-3, (
        f"4 steps along gradients of length 1e-4, with a learning rate of 0.5 and eps = 1, lead 2e-4 away, and not "
        f"{short:.3g} (without clipping {free:.3g})"
    )
    assert free > 10 * short, (
        f"without clipping the weights move by {free:.3g} only, with clipping to 1e-4 by {short:.3g}"
    )


@pytest.mark.edge
def test_own_gradients(train):
    """Every step uses only the gradient of its own batch.

    Asked: problem training_together; plain safety: gradients are zeroed before each step.
    """
    one_window = {"train": TOKENS[: SMALL["context_length"] + 1]}
    # A step of lr * gradient / eps, which is so short that the next gradient is nearly the same.
    straight = BY_LENGTH | {"eps": 1e3, "beta1": 1e-3, "beta2": 1e-3, "max_grad_norm": 1e9}
    start = train(START)
    one, four = (moved(train(straight | {"steps": steps}, **one_window), start) for steps in (1, 4))
    assert one > 1e-6, f"a step with a learning rate of 0.5 moves the weights by {one:.3g} only"
    assert 3.5 < four / one < 4.5, (
        f"on data with one window, 4 short steps should lead 4 times as far as one, and not {four / one:.1f} times"
    )


@pytest.mark.edge
def test_accumulation(train):
    """A batch in several parts gives the same step as in one part: the mean gradient of the same windows.

    Asked: the documentation of TrainConfig, accumulation_steps.
    """
    changes = BY_LENGTH | {"max_grad_norm": 1e9}
    start, whole, parts = train(START), train(changes), train(changes | {"accumulation_steps": 4})
    far, apart = moved(whole, start), moved(parts, whole)
    assert far > 0.05, f"4 steps with a learning rate of 0.5 and eps = 1 move the weights by {far:.3g} only"
    assert apart < 1e-3 * far, (
        f"4 steps move the weights by {far:.3g}; with each batch in 4 parts they end {apart:.3g} from there"
    )
    for one, other in zip(whole.records, parts.records, strict=True):
        assert abs(one.train_loss - other.train_loss) < 1e-3, (
            f"the train_loss of step {one.step} is {one.train_loss:.4f}, with the batch in parts {other.train_loss:.4f}"
        )


@pytest.fixture(scope="module")
def interrupted(submission, tmp_path_factory):
    """A run that was killed after a checkpoint and went on, beside the same run without that."""
    data = {"config": INTERRUPTED, "train": TOKENS, "valid": VALID}
    whole = open_run(submission.training_run(**data), INTERRUPTED, tmp_path_factory.mktemp("whole"))
    result = submission.training_interrupted(**data)
    return whole, open_run(result["files"], INTERRUPTED, tmp_path_factory.mktemp("killed")), result


@pytest.mark.edge
def test_resumes(interrupted):
    """A run that is killed (SIGKILL) and restarted ends with the same weights as without the kill, bit for bit.

    Asked: the documentation of train: an interruption changes nothing.
    """
    whole, resumed, result = interrupted
    steps = len(result["killed_at"].splitlines())
    check_same_weights(
        whole,
        resumed,
        f"killed after step {steps} and resumed, the run should end with the same weights (is all of the optimizer "
        "restored, does the schedule go on where it was, do the batches?)",
    )


def test_goes_on(interrupted):
    """Resuming continues from the checkpoint: the metrics of earlier steps stay unchanged, including seconds.

    Asked: problem training_together: checkpoints are serialized to a path; the documentation of train.
    """
    _, resumed, result = interrupted
    done = result["killed_at"].splitlines()[: INTERRUPTED["checkpoint_every"]]
    kept = resumed.files.read("run/metrics.jsonl", 1 << 24).splitlines()[: len(done)]
    assert len(done) == INTERRUPTED["checkpoint_every"], (
        f"there was a checkpoint.pt when metrics.jsonl had {len(done)} lines; the first is due after "
        f"{INTERRUPTED['checkpoint_every']} steps, and its steps should be in the metrics by then"
    )
    assert [json.loads(line) for line in done] == [json.loads(line) for line in kept], (
        "the steps before the checkpoint have other metrics after resuming: were they made again?"
    )


@pytest.mark.edge
def test_resumed_metrics(submission, interrupted):
    """After resuming, no step is missing or doubled in the metrics, and the losses continue as without a break.

    Asked: the documentation of train: no step is missing, and none is there twice.
    """
    whole, resumed, _ = interrupted
    check_steps(resumed)
    check_curve(submission, resumed)
    for one, other in zip(whole.records, resumed.records, strict=True):
        assert (one.lr, one.train_loss, one.val_loss) == (other.lr, other.train_loss, other.val_loss), (
            f"step {one.step} has {other} after resuming, and {one} without the interruption"
        )


@pytest.mark.edge
def test_replaces_checkpoint(interrupted):
    """A new checkpoint replaces the old one only once it is complete; it does not overwrite it.

    Asked: the documentation of train: whenever the process ends, there is a complete checkpoint.
    """
    assert not interrupted[2]["in_place"], (
        "checkpoint.pt was opened for writing while it was the only checkpoint: whoever is interrupted then has none"
    )


@pytest.mark.edge
def test_larger_than_memory(train):
    """A dataset may be larger than memory: only the drawn windows are read.

    Asked: problem training_together: large data is loaded memory-efficiently, with np.memmap.
    """
    run = train({}, padding=1 << 28, headroom_mib=384)
    check_steps(run)


@pytest.mark.edge
def test_curve(spoken):
    """A learning curve comes with the run: curve.svg, or curve.png.

    Asked: the documentation of train, curve.svg; problem experiment_log.
    """
    files, names = spoken.files, spoken.files.names("run")
    if "curve.svg" in names:
        picture = xml.etree.ElementTree.fromstring(files.read("run/curve.svg", 1 << 24))
        lines = [e for e in picture.iter() if e.tag.rpartition("}")[2] in ("path", "polyline")]
        data = max((e.get("d") or e.get("points") or "" for e in lines), key=len, default="")
        assert picture.tag.endswith("svg"), "curve.svg is not an SVG picture"
        assert len(data.split()) > 30, "curve.svg has no line with at least ten points"
        return
    assert "curve.png" in names, f"there is neither curve.svg nor curve.png, only {', '.join(names)}"
    content = files.read("run/curve.png", 1 << 24)
    assert content.startswith(b"\x89PNG\r\n\x1a\n"), "curve.png is not a PNG picture"
    assert b"IEND" in content[-12:], "curve.png is not a PNG picture, or not all of one"
    width, height = struct.unpack(">II", content[16:24])
    assert min(width, height) >= 100, f"curve.png has only {width} by {height} pixels"


REFUSED = {
    "unknown key": ({"max_lrr": 1e-3}, {}, "max_lrr"),
    "wrong type": ({"steps": "many"}, {}, "steps"),
    "unknown choice": ({"norm": "batch"}, {}, "norm"),
    "heads": ({"num_heads": 3}, {}, "num_heads"),
    "ids beyond the vocabulary": ({"vocab_size": 40}, {}, ""),
    "context longer than the data": ({"context_length": 1200}, {}, ""),
    "data cut off": ({}, {"cut": "train_data"}, ""),
    "checkpoint cut off": ({}, {"before": {}, "cut": "checkpoint.pt"}, ""),
    "folder of another run": ({"max_lr": 2e-2}, {"before": {"max_lr": 1e-2}}, ""),
}


@pytest.mark.edge
@pytest.mark.parametrize("name", REFUSED)
def test_refuses(submission, name):
    """An impossible configuration raises a ValueError that names the problem, before anything is written.

    Asked: the documentation of train and make_config, what raises ValueError.
    """
    changes, how, word = REFUSED[name]
    result = submission.training_refused(config=SMALL | changes, train=TOKENS, valid=VALID, **how)
    assert result["error"] is not None, f"{name}: run_train went ahead"
    assert result["is_value_error"], f"{name}: expected a ValueError with one clear sentence, got {result['error']}"
    assert word in result["error"], f"{name}: the error does not name {word!r}: {result['error']}"
    assert not result["changed"], f"{name}: {', '.join(result['changed'])} changed although the run was refused"
