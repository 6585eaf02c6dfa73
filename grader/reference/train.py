"""The training loop: the whole assignment together, from a configuration file to a trained model.

    python -m cs336_basics.train configs/tiny.toml                            train
    python -m cs336_basics.train configs/tiny.toml out=runs/fast max_lr=1e-2  the same with two values changed
    python -m cs336_basics.train configs/tiny.toml out=runs/shared architecture.num_kv_heads=2   a variant of the lab
    python -m cs336_basics.train --help                                       all keys of a configuration

To resume an interrupted run from its last checkpoint, give the same command again.
"""

import argparse
import dataclasses
import io
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from jaxtyping import Int
from torch import Tensor, nn
from tqdm import tqdm

from ._forecast import _Stopwatch
from .architecture.language_model import LanguageModel
from .checkpoint import load_checkpoint, save_checkpoint
from .config import TrainConfig, _architecture_of, _as_toml, _describe_keys, load_config
from .data import get_batch
from .loss import cross_entropy
from .optimizer import AdamW, get_lr_cosine_schedule, gradient_clipping
from .transformer import TransformerLM

_CONFIG, _METRICS, _CHECKPOINT = "config.toml", "metrics.jsonl", "checkpoint.pt"
_WEIGHTS, _CURVE = "model.safetensors", "curve.svg"
_ORIGIN = ("vocab.json", "merges.txt", "data.toml")  # as `prepare` writes them
_MAY_CHANGE = ("out", "device")  # for a run may go on elsewhere
_SCANNED = 1 << 24  # token ids looked at in one go
_POINTS = 1000  # that a curve is drawn with
_DRAW_EVERY_S = 10.0


def train(config: TrainConfig) -> float:
    """Train a model as the configuration says, or resume an interrupted run.

    A step draws a batch from train_data (`get_batch`), computes the cross-entropy of the model's logits, clips the
    gradients, and makes one AdamW update with the schedule's learning rate. The run's folder then holds:

        config.toml        the configuration, every key of it
        metrics.jsonl      one JSON object per line and step: `step` (from 1), `tokens` (seen so far), `seconds` (of
                           training so far), `lr` (used in this step), `train_loss` (of the step's batch, before the
                           update), and `val_loss` (after the update) if it was measured
        checkpoint.pt      the latest checkpoint. A finished new checkpoint replaces the old one in a single step, so a
                           complete one exists whenever the process ends, even by a power cut
        model.safetensors  at the end: the weights in float32, under the names that `run_transformer_lm` lists
        curve.svg          the learning curve: both losses over the steps (a .png is fine, too)
        vocab.json, merges.txt, data.toml
                           copies of the files next to train_data, if there are any: they say what the token ids mean
                           and what text the model was trained on

    If the folder has a checkpoint of the same configuration, the run resumes after it. It ends with exactly the same
    weights and metrics (except `seconds`) as without the interruption: no step is missing, and none appears twice.
    `out` and `device` may have changed. A complete run stays unchanged.

    Check everything that can be wrong before you write anything.

    Returns:
        The last validation loss.

    Raises:
        ValueError: the data cannot be read, has fewer than context_length + 1 tokens, or has ids of vocab_size or more;
            the device does not exist; the folder's run has another configuration, or its checkpoint is damaged. The
            message is one sentence; the folder stays unchanged.
        FloatingPointError: the loss is no longer finite; the metrics up to then are kept.

    Problem: training_together
    """
    device = _choose_device(config)
    train_tokens, valid_tokens = (_open_tokens(Path(path), config) for path in (config.train_data, config.valid_data))
    folder = Path(config.out)
    _check_folder(folder, config)
    if (folder / _WEIGHTS).exists():
        return _last_loss(folder / _METRICS)
    model = _make_model(config).to(device)
    optimizer = AdamW(model.parameters(), config.max_lr, (config.beta1, config.beta2), config.eps, config.weight_decay)
    done = _resume(folder / _CHECKPOINT, model, optimizer)
    records = _read_metrics(folder / _METRICS, done)

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _CONFIG).exists():
        _replace(folder / _CONFIG, _as_toml(config).encode())
    for name in _ORIGIN:
        if (beside := Path(config.train_data).with_name(name)).exists() and not (folder / name).exists():
            _replace(folder / name, beside.read_bytes())
    try:
        _run(config, model, optimizer, train_tokens, valid_tokens, records)
    finally:
        _draw_curve(records, folder)
    _replace(folder / _WEIGHTS, _weights(model))
    return records[-1]["val_loss"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: `CONFIG.toml key=value ...`. Returns the exit status: 0, or 2 if the input must be corrected.

    Problem: training_together
    """
    parser = argparse.ArgumentParser(
        prog="python -m cs336_basics.train",
        description="Train a Transformer language model, or go on with a run that was interrupted.",
        epilog=_describe_keys(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", metavar="CONFIG.toml", help="the configuration, such as configs/tiny.toml")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="values that win over those of the file")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config, options.overrides)
        loss = train(config)
    except (ValueError, FloatingPointError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    print(f"{config.out}: validation loss {loss:.4f} (perplexity {math.exp(loss):.2f}) after {config.steps} steps.")
    return 0


def _choose_device(config: TrainConfig) -> torch.device:
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = config.device if config.device != "auto" else next(name for name, there in present.items() if there)
    if not present[name]:
        raise ValueError(f"device is {name!r}, but this machine or this build of PyTorch has none; use device=auto.")
    if name == "cuda" and config.dtype == "bfloat16" and not torch.cuda.is_bf16_supported():
        raise ValueError(f"dtype is 'bfloat16', which {torch.cuda.get_device_name()} lacks; use dtype=float32.")
    return torch.device(name)


# ------------------------------------------------------------------------------------------------------------
# What is there before a run


def _open_tokens(path: Path, config: TrainConfig) -> np.ndarray:
    """A file of token ids, mapped into memory and checked."""
    try:
        tokens = np.load(path, mmap_mode="r")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # no .npy file, or one that was cut off
        raise ValueError(f"{path} is not a complete .npy file of token ids: {error}") from error
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise ValueError(
            f"{path} holds an array of shape {tokens.shape} and type {tokens.dtype}; it must be one row of uint16."
        )
    if len(tokens) < config.context_length + 1:
        raise ValueError(
            f"{path} has {len(tokens)} tokens, but one window takes context_length + 1 = {config.context_length + 1}; "
            "use more text or a smaller context_length."
        )
    largest = max(int(tokens[i : i + _SCANNED].max()) for i in range(0, len(tokens), _SCANNED))
    if largest >= config.vocab_size:
        raise ValueError(
            f"{path} has the token id {largest}, but vocab_size is {config.vocab_size}: set it to that of the "
            "tokenizer that made the file."
        )
    return tokens


def _check_folder(folder: Path, config: TrainConfig) -> None:
    """Refuse a folder that has another run in it."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out is {folder}, which is a file; name a folder.")
    if not (folder / _CONFIG).exists():
        strangers = [name for name in (_METRICS, _CHECKPOINT, _WEIGHTS) if (folder / name).exists()]
        if strangers:
            raise ValueError(f"{folder} has {strangers[0]}, but no {_CONFIG} to say of which run; name another folder.")
        return
    before = load_config(folder / _CONFIG)
    ours, theirs = dataclasses.asdict(config), dataclasses.asdict(before)
    other = [f"{key} = {theirs[key]!r}" for key in ours if ours[key] != theirs[key] and key not in _MAY_CHANGE]
    if other:
        raise ValueError(
            f"{folder} has a run with {', '.join(other)}; name another folder (out=...), or delete that one to start "
            "anew."
        )


def _resume(checkpoint: Path, model: nn.Module, optimizer: AdamW) -> int:
    """Load the checkpoint, if there is one; gives the number of steps done."""
    try:
        return load_checkpoint(checkpoint, model, optimizer) if checkpoint.exists() else 0
    except RuntimeError as error:
        raise ValueError(
            f"{checkpoint} is of another model than {checkpoint.with_name(_CONFIG)} says; delete the folder to start "
            "anew."
        ) from error


def _read_metrics(path: Path, done: int) -> list[dict[str, Any]]:
    """The records of the first `done` steps; those that came after the checkpoint will be made again."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    try:
        records = [json.loads(line) for line in lines[:done]]
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}); delete the folder to start anew.") from error
    if [record["step"] for record in records] != list(range(1, done + 1)):
        raise ValueError(
            f"{path} does not have each step up to {done}, where the checkpoint is; delete the folder to start anew."
        )
    return records


def _last_loss(path: Path) -> float:
    """The last validation loss of a run that is complete, whether or not its checkpoint is still there."""
    try:
        return float(json.loads(path.read_text("utf-8").splitlines()[-1])["val_loss"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path} of a complete run is missing or damaged ({error}); delete the folder to start anew."
        ) from error


def _make_model(config: TrainConfig) -> TransformerLM | LanguageModel:
    """The model with its first weights: drawn on the CPU, so that they are the same for every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.architecture:
            return LanguageModel(_architecture_of(config))
        return TransformerLM(
            config.vocab_size,
            config.context_length,
            config.d_model,
            config.num_layers,
            config.num_heads,
            config.d_ff,
            config.rope_theta,
            norm=config.norm,
            position=config.position,
            ffn=config.ffn,
        )


# ------------------------------------------------------------------------------------------------------------
# The loop


def _run(
    config: TrainConfig,
    model: nn.Module,
    optimizer: AdamW,
    train_tokens: np.ndarray,
    valid_tokens: np.ndarray,
    records: list[dict[str, Any]],
) -> None:
    """Make the steps that are left, and append their records to those of the steps done."""
    folder, done = Path(config.out), len(records)
    _replace(folder / _METRICS, "".join(map(_as_line, records)).encode())
    start = time.perf_counter() - (records[-1]["seconds"] if records else 0.0)
    drawn = time.perf_counter()
    stopwatch = _Stopwatch(config, done)
    with (
        (folder / _METRICS).open("a", encoding="utf-8") as metrics,
        tqdm(total=config.steps, initial=done, desc=folder.name, unit="step", disable=None) as bar,
    ):
        for step in range(done + 1, config.steps + 1):
            lr = _learning_rate(step, config)
            loss = _update(model, optimizer, _draw_batch(train_tokens, step, config), lr, config)
            record = {
                "step": step,
                "tokens": step * config.batch_size * config.context_length,
                "seconds": 0.0,
                "lr": lr,
                "train_loss": loss,
            }
            last = step == config.steps
            if last or step % config.eval_every == 0:
                record["val_loss"] = _evaluate(model, valid_tokens, config)
            record["seconds"] = round(time.perf_counter() - start, 3)
            records.append(record)
            metrics.write(_as_line(record))
            metrics.flush()  # whoever follows the file sees every step, and so does who resumes after a crash
            if last or step % config.checkpoint_every == 0:
                os.fsync(metrics.fileno())  # a checkpoint must not survive a power cut that its metrics do not
                save_checkpoint(model, optimizer, step, folder / _CHECKPOINT)
                if not last and time.perf_counter() - drawn > _DRAW_EVERY_S:
                    _draw_curve(records, folder)
                    drawn = time.perf_counter()
            if "val_loss" in record:
                bar.write(f"step {step:>6}  lr {lr:.2e}  train {loss:.4f}  valid {record['val_loss']:.4f}")
            if said := stopwatch.after_step(step):
                bar.write(said)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()


def _learning_rate(step: int, config: TrainConfig) -> float:
    """Iteration 0 of the schedule has rate 0; step 1 is iteration 1, so that no step is lost."""
    return get_lr_cosine_schedule(step, config.max_lr, config.min_lr, config.warmup_steps, config.steps)


def _draw_batch(
    tokens: np.ndarray, step: int, config: TrainConfig
) -> tuple[Int[Tensor, "batch_size context_length"], Int[Tensor, "batch_size context_length"]]:
    """The batch of a step: a function of seed and step alone, so that resuming needs no generator's state."""
    seed = int(np.random.SeedSequence((config.seed, step)).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return get_batch(tokens, config.batch_size, config.context_length, "cpu")


def _update(model: nn.Module, optimizer: AdamW, batch: tuple[Tensor, Tensor], lr: float, config: TrainConfig) -> float:
    """One step of the optimizer; gives the mean loss of the batch before it."""
    optimizer.zero_grad()
    loss = _accumulate(model, batch, config)
    gradient_clipping(model.parameters(), config.max_grad_norm)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    return loss


def _accumulate(model: nn.Module, batch: tuple[Tensor, Tensor], config: TrainConfig) -> float:
    """Add the gradient of the batch's mean loss to the parameters', part by part; gives that loss."""
    total = 0.0
    for inputs, targets in zip(*(part.chunk(config.accumulation_steps) for part in batch), strict=True):
        loss = _loss(model, inputs, targets, config) / config.accumulation_steps
        loss.backward()
        total += loss.item()
    if not math.isfinite(total):
        raise FloatingPointError(f"The training loss became {total}; try a smaller max_lr or a longer warm-up.")
    return total


@torch.no_grad()
def _evaluate(model: nn.Module, tokens: np.ndarray, config: TrainConfig) -> float:
    """Mean loss over consecutive windows, the same ones each time."""
    length, part = config.context_length, config.batch_size // config.accumulation_steps
    windows = min((len(tokens) - 1) // length, config.eval_batches * config.batch_size)
    total = 0.0
    for first in range(0, windows, part):
        count = min(part, windows - first)
        ids = torch.from_numpy(tokens[first * length : (first + count) * length + 1].astype(np.int64))
        loss = _loss(model, ids[:-1].view(count, length), ids[1:].view(count, length), config)
        total += count * loss.item()
    return total / windows


def _loss(model: nn.Module, inputs: Tensor, targets: Tensor, config: TrainConfig) -> Tensor:
    """Cross-entropy of the targets, on the model's device and in the precision that was asked for."""
    device = next(model.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=config.dtype == "bfloat16"):
        return cross_entropy(model(inputs.to(device)), targets.to(device))


# ------------------------------------------------------------------------------------------------------------
# Files


def _as_line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


def _weights(model: nn.Module) -> bytes:
    return safetensors.torch.save({name: weight.float().cpu() for name, weight in model.state_dict().items()})


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that whoever opens it finds the old contents or all of the new."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _draw_curve(records: list[dict[str, Any]], folder: Path) -> None:
    """Draw losses over steps. Without matplotlib there is no picture, and the run says so and goes on."""
    if not records:
        return
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed, so no learning curve was drawn.", file=sys.stderr)
        return
    figure = Figure(figsize=(7, 4))
    axes = figure.add_axes((0.1, 0.13, 0.87, 0.78))  # to find these by itself takes matplotlib as long as to draw
    # A point is the mean of as many steps as keep the file small.
    size = math.ceil(len(records) / _POINTS)
    groups = [records[i : i + size] for i in range(0, len(records), size)]
    axes.plot(
        [group[-1]["step"] for group in groups],
        [sum(record["train_loss"] for record in group) / len(group) for group in groups],
        linewidth=0.8,
        alpha=0.6,
        label="training batch",
    )
    measured = [record for record in records if "val_loss" in record]
    if measured:
        axes.plot(
            [record["step"] for record in measured],
            [record["val_loss"] for record in measured],
            marker=".",
            label=f"validation, last {measured[-1]['val_loss']:.3f}",
        )
    axes.set(xlabel="step", ylabel="loss (nats per token)", title=folder.name)
    axes.grid(alpha=0.3)
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="svg", metadata={"Date": None})
    _replace(folder / _CURVE, picture.getvalue())


if __name__ == "__main__":
    sys.exit(main())
