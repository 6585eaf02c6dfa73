"""How training loops go wrong: in the step, in what they report, and above all when they resume."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grader.reference import config as configuration
from grader.reference import train as right

from .catalogue import Misconception

_RIGHT = {name: getattr(right, name) for name in vars(right) if name.startswith("_") and not name.startswith("__")}


def _wrong(
    id: str, claims: str, diagnosis: str, hint: str, frequency: str = "occasional", **replaced: Any
) -> Misconception:
    """A misconception that replaces functions of the loop or of its configuration.

    `claims` are the tests that have to notice.
    """
    return Misconception(
        id=f"training-{id}",
        problem="training_together",
        replaces={f"{_home(name)}.{name}": function for name, function in replaced.items()},
        diagnosis=diagnosis,
        hint=hint,
        frequency=frequency,
        claims=tuple(f"test_{claim}" for claim in claims.split()),
    )


def _home(name: str) -> str:
    """The module of the reference whose name is looked up where the function is called."""
    return "config" if name == "make_config" else "train"


# ------------------------------------------------------------------------------------------------------------
# Resuming


def _resumes_model_only(checkpoint: Path, model, optimizer) -> int:
    if not checkpoint.exists():
        return 0
    found = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(found["model"])
    return found["iteration"]


def _resumes_optimizer_only(checkpoint: Path, model, optimizer) -> int:
    if not checkpoint.exists():
        return 0
    found = torch.load(checkpoint, weights_only=True)
    optimizer.load_state_dict(found["optimizer"])
    return found["iteration"]


def _never_resumes(checkpoint: Path, model, optimizer) -> int:
    return 0


def _counting_from_resumption(**functions: Callable[..., Callable[..., Any]]) -> dict[str, Any]:
    """Replacements that know at which step the process began: each is made from a function that tells it."""
    begun = {"at": 0}

    def resume(checkpoint: Path, model, optimizer) -> int:
        begun["at"] = _RIGHT["_resume"](checkpoint, model, optimizer)
        return begun["at"]

    made = {name: function(lambda: begun["at"]) for name, function in functions.items()}
    return {"_resume": resume, **made}


def _rate_from_resumption(begun: Callable[[], int]) -> Callable[..., float]:
    return lambda step, config: _RIGHT["_learning_rate"](step - begun(), config)


def _rate_one_behind(begun: Callable[[], int]) -> Callable[..., float]:
    return lambda step, config: _RIGHT["_learning_rate"](step - (begun() > 0), config)


def _batches_from_resumption(begun: Callable[[], int]) -> Callable[..., Any]:
    return lambda tokens, step, config: _RIGHT["_draw_batch"](tokens, step - begun(), config)


def _forgets_metrics(path: Path, content: bytes) -> None:
    _RIGHT["_replace"](path, b"" if path.name == "metrics.jsonl" else content)


def _keeps_all_metrics(path: Path, content: bytes) -> None:
    if path.name != "metrics.jsonl" or not path.exists():
        _RIGHT["_replace"](path, content)


def _saves_in_place(model, optimizer, iteration, out) -> None:
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}, out)


def _saves_model_only(model, optimizer, iteration, out) -> None:
    empty = {**optimizer.state_dict(), "state": {}}
    torch.save({"model": model.state_dict(), "optimizer": empty, "iteration": iteration}, out)


# ------------------------------------------------------------------------------------------------------------
# The step


def _updating(zero: bool = True, clip: str = "before", rate: Callable[[float], float | None] = lambda lr: lr):
    """One step with some of its parts left out or moved."""

    def update(model, optimizer, batch, lr, config):
        if zero:
            optimizer.zero_grad()
        loss = _RIGHT["_accumulate"](model, batch, config)
        if clip == "before":
            right.gradient_clipping(model.parameters(), config.max_grad_norm)
        if (applied := rate(lr)) is not None:
            for group in optimizer.param_groups:
                group["lr"] = applied
        optimizer.step()
        if clip == "after":
            right.gradient_clipping(model.parameters(), config.max_grad_norm)
        return loss

    return update


def _accumulating(weight: Callable[[int], float], zero: bool = False, report: Callable[[list[float]], float] = sum):
    """The gradient of a batch in parts: `weight` is that of each part, of so many."""

    def accumulate(model, batch, config):
        losses = []
        parts = config.accumulation_steps
        for inputs, targets in zip(*(part.chunk(parts) for part in batch), strict=True):
            if zero:
                model.zero_grad()
            loss = _RIGHT["_loss"](model, inputs, targets, config)
            (loss * weight(parts)).backward()
            losses.append(loss.item() / parts)
        return report(losses)

    return accumulate


def _unshifted(tokens, step, config):
    inputs, _ = _RIGHT["_draw_batch"](tokens, step, config)
    return inputs, inputs


def _unseeded(tokens, step, config):
    return right.get_batch(tokens, config.batch_size, config.context_length, "cpu")


def _same_batch(tokens, step, config):
    return _RIGHT["_draw_batch"](tokens, 1, config)


def _cosine_after_warmup(step, config):
    return right.get_lr_cosine_schedule(
        step, config.max_lr, config.min_lr, config.warmup_steps, config.warmup_steps + config.steps
    )


def _plain_architecture(config):
    return _RIGHT["_make_model"](dataclasses.replace(config, norm="pre", position="rope", ffn="swiglu"))


# ------------------------------------------------------------------------------------------------------------
# What is measured and written


def _evaluates_training_data(model, tokens, config):
    return _RIGHT["_evaluate"](model, np.load(config.train_data, mmap_mode="r"), config)


@torch.no_grad()
def _evaluates_at_random(model, tokens, config):
    batches = [
        right.get_batch(tokens, config.batch_size, config.context_length, "cpu") for _ in range(config.eval_batches)
    ]
    return sum(_RIGHT["_loss"](model, *batch, config).item() for batch in batches) / len(batches)


def _evaluates_one_batch(model, tokens, config):
    return _RIGHT["_evaluate"](model, tokens, dataclasses.replace(config, eval_batches=1))


def _first_weights(model):
    other = type(model)(256, 32, 64, 2, 2, 192, 1e4)
    return _RIGHT["_weights"](other)


def _as_bits(record):
    """Losses in bits, where nats are asked for."""
    losses = {key: value / np.log(2) for key, value in record.items() if key.endswith("_loss")}
    return json.dumps(record | losses) + "\n"


def _sparse_metrics(record):
    return _RIGHT["_as_line"](record) if "val_loss" in record else ""


def _empty_curve(records, folder):
    (folder / "curve.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')


def _saves_number(records, folder):
    (folder / "curve.csv").write_text("\n".join(str(record["train_loss"]) for record in records))


# ------------------------------------------------------------------------------------------------------------
# What is given


def _reads_everything(path, config):
    return np.array(_RIGHT["_open_tokens"](path, config))


def _unchecked(path, config):
    return np.load(path, mmap_mode="r")


def _makes_folder_first(path, config):
    folder = Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(_RIGHT["_as_toml"](config))
    return _RIGHT["_open_tokens"](path, config)


_make_config = configuration.make_config


def _ignores_unknown_keys(values):
    known = {field.name for field in dataclasses.fields(configuration.TrainConfig)}
    return _make_config({key: value for key, value in values.items() if key in known})


def _takes_any_type(values):
    return configuration.TrainConfig(**values)


def _takes_any_folder(folder, config):
    pass


MISCONCEPTIONS = (
    _wrong(
        "optimizer-not-restored",
        "resumes",
        "After resuming, AdamW's moments are zero: you do not load the optimizer from the checkpoint.",
        "What does optimizer.state_dict()['state'] hold at the start of the first step after resuming?",
        "common",
        _resume=_resumes_model_only,
    ),
    _wrong(
        "optimizer-not-saved",
        "resumes",
        "Your checkpoints lack the optimizer's moments, so they are zero after resuming.",
        "What does the checkpoint's optimizer contain under 'state'?",
        "common",
        save_checkpoint=_saves_model_only,
    ),
    _wrong(
        "weights-not-restored",
        "resumes",
        "After resuming, your weights are new: you load only the optimizer and the step.",
        "Compare the train_loss before the interruption with that of the first step after it.",
        "rare",
        _resume=_resumes_optimizer_only,
    ),
    _wrong(
        "starts-over",
        "goes_on",
        "A restarted run begins at step 1: you do not load the checkpoint.",
        "Which step comes first after resuming?",
        _resume=_never_resumes,
    ),
    _wrong(
        "schedule-restarts",
        "resumed_metrics",
        "After resuming, your learning rate warms up again: the schedule counts from the resumption.",
        "Which iteration does the schedule get in the first step after resuming?",
        "common",
        **_counting_from_resumption(_learning_rate=_rate_from_resumption),
    ),
    _wrong(
        "rate-one-behind",
        "resumed_metrics resumes",
        "After resuming, your learning rate is one step behind.",
        "Is the number in the checkpoint that of the last finished step, or of the next one?",
        **_counting_from_resumption(_learning_rate=_rate_one_behind),
    ),
    _wrong(
        "batches-restart",
        "resumes",
        "After resuming, you train on the first batches again: you reseed the sampling.",
        "Which state does the sampling depend on, and is it in the checkpoint?",
        "common",
        **_counting_from_resumption(_draw_batch=_batches_from_resumption),
    ),
    _wrong(
        "metrics-lost",
        "resumed_metrics",
        "Resuming empties your metrics: the steps before the checkpoint are gone.",
        "In which mode is metrics.jsonl opened?",
        "common",
        _replace=_forgets_metrics,
    ),
    _wrong(
        "metrics-twice",
        "resumed_metrics",
        "After resuming, your metrics contain the steps between the checkpoint and the interruption twice.",
        "Which steps does metrics.jsonl have when the run resumes, and which of them will be repeated?",
        "common",
        _replace=_keeps_all_metrics,
    ),
    _wrong(
        "checkpoint-in-place",
        "replaces_checkpoint",
        "You overwrite the old checkpoint in place: if this is interrupted, there is none.",
        "What is in checkpoint.pt if the power fails while you write it?",
        "common",
        save_checkpoint=_saves_in_place,
    ),
    _wrong(
        "gradients-kept",
        "own_gradients",
        "You never set gradients to zero: each step uses the sum of all gradients so far.",
        "What does .backward() do with an existing gradient?",
        "common",
        _update=_updating(zero=False),
    ),
    _wrong(
        "not-clipped",
        "clips",
        "Your gradients are not clipped.",
        "What is the joint norm of all gradients right before optimizer.step()?",
        _update=_updating(clip="never"),
    ),
    _wrong(
        "clipped-after-step",
        "clips",
        "You clip the gradients after the step, when nothing uses them any more.",
        "What is the joint norm of all gradients right before optimizer.step()?",
        _update=_updating(clip="after"),
    ),
    _wrong(
        "rate-not-applied",
        "learning_rate_is_applied",
        "You compute and report the schedule's learning rate, but the optimizer keeps using the first one.",
        "What is optimizer.param_groups[0]['lr'] when step() is called?",
        "common",
        _update=_updating(rate=lambda lr: None),
    ),
    _wrong(
        "rate-halved",
        "learning_rate_is_applied",
        "Your optimizer uses a different learning rate from the one in the metrics.",
        "What is optimizer.param_groups[0]['lr'] when step() is called?",
        "rare",
        _update=_updating(rate=lambda lr: lr / 2),
    ),
    _wrong(
        "schedule-too-long",
        "learning_rate_is_applied",
        "Your cosine ends warmup_steps after the last step, so the rate never reaches min_lr.",
        "Does the cosine's length include the warm-up?",
        _learning_rate=_cosine_after_warmup,
    ),
    _wrong(
        "parts-summed",
        "accumulation",
        "With accumulation your gradient is the sum of the parts' mean gradients, so it is that many times too large.",
        "By what must you multiply each part's loss so that the sum is the mean over the whole batch?",
        "common",
        _accumulate=_accumulating(lambda parts: 1.0),
    ),
    _wrong(
        "last-part-only",
        "accumulation",
        "With accumulation, your step uses only the last part's gradient: you zero the others before it.",
        "How often per step do you set gradients to zero?",
        _accumulate=_accumulating(lambda parts: 1 / parts, zero=True),
    ),
    _wrong(
        "loss-of-last-part",
        "accumulation",
        "With accumulation, your train_loss is that of the last part only.",
        "Over which windows of the batch is train_loss the mean?",
        _accumulate=_accumulating(lambda parts: 1 / parts, report=lambda losses: losses[-1] * len(losses)),
    ),
    _wrong(
        "targets-are-inputs",
        "learns",
        "Your model is trained to repeat its input: the targets are not one token later.",
        "What is the first target of a window that begins with tokens a, b, c?",
        "rare",
        _draw_batch=_unshifted,
    ),
    _wrong(
        "one-batch",
        "learns",
        "You train on the same batch in every step.",
        "Print the first tokens of the batches of the first three steps.",
        "rare",
        _draw_batch=_same_batch,
    ),
    _wrong(
        "unseeded",
        "seed",
        "Your batches do not depend on the seed: the same configuration gives different weights each time.",
        "Which generator draws the windows, and who seeds it?",
        "common",
        _draw_batch=_unseeded,
    ),
    _wrong(
        "architecture-ignored",
        "architecture",
        "norm, position and ffn of your configuration have no effect on the model.",
        "Print the names of the model's parameters with norm = 'none'.",
        _make_model=_plain_architecture,
    ),
    _wrong(
        "evaluates-training-data",
        "val_loss_is_exact",
        "Your val_loss is measured on the training data.",
        "Which array do the windows of the evaluation come from?",
        _evaluate=_evaluates_training_data,
    ),
    _wrong(
        "evaluates-at-random",
        "val_loss_is_exact",
        "Your val_loss is measured on random windows, so it goes up and down without the model changing.",
        "Evaluate the same weights twice: is it the same number?",
        "common",
        _evaluate=_evaluates_at_random,
    ),
    _wrong(
        "evaluates-one-batch",
        "val_loss_is_exact",
        "Your val_loss is that of one batch of windows, whatever eval_batches says.",
        "How many windows are evaluated?",
        _evaluate=_evaluates_one_batch,
    ),
    _wrong(
        "first-weights-saved",
        "learns",
        "model.safetensors has the weights of a model that was not trained.",
        "Which model's state_dict is saved, and when?",
        "rare",
        _weights=_first_weights,
    ),
    _wrong(
        "bits",
        "reports",
        "Your losses are in bits; they must be in nats.",
        "What does a model that knows nothing score: ln or log2 of the vocabulary's size?",
        "rare",
        _as_line=_as_bits,
    ),
    _wrong(
        "evaluations-only",
        "reports",
        "Your metrics contain only the steps with an evaluation.",
        "How many lines does metrics.jsonl have after 250 steps?",
        "common",
        _as_line=_sparse_metrics,
    ),
    _wrong(
        "empty-curve",
        "curve",
        "Your curve.svg is an empty picture.",
        "Open it in a browser.",
        "rare",
        _draw_curve=_empty_curve,
    ),
    _wrong(
        "no-curve",
        "curve",
        "Your run leaves no learning curve.",
        "Which files are in the run's folder?",
        _draw_curve=_saves_number,
    ),
    _wrong(
        "reads-everything",
        "larger_than_memory",
        "You read the whole dataset into memory.",
        "Which argument of np.load maps the file instead?",
        "common",
        _open_tokens=_reads_everything,
    ),
    _wrong(
        "data-unchecked",
        "refuses",
        "Your loop notices only during training, with an IndexError, that the data does not fit the model.",
        "What is the largest id in the file, and when could you check it?",
        "common",
        _open_tokens=_unchecked,
    ),
    _wrong(
        "folder-first",
        "refuses",
        "You write to the run's folder before you check the data.",
        "Which line is the first that changes a file?",
        _open_tokens=_makes_folder_first,
    ),
    _wrong(
        "unknown-keys-ignored",
        "refuses",
        "You ignore a misspelt key of the configuration and silently use the default.",
        "What happens with max_lrr = 1e-3?",
        "common",
        make_config=_ignores_unknown_keys,
    ),
    _wrong(
        "types-unchecked",
        "refuses",
        "You accept configuration values of any type; they fail somewhere later.",
        "What happens with steps = 'many'?",
        "common",
        make_config=_takes_any_type,
    ),
    _wrong(
        "overwrites-other-run",
        "refuses",
        "You resume from a folder whose run has another configuration.",
        "How does your loop know which run the checkpoint belongs to?",
        _check_folder=_takes_any_folder,
    ),
)
