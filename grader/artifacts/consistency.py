"""What a run's configuration settles: steps, tokens, learning rates, shapes of weights. Does what it left agree?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

from ..cases.weights import lm_shapes
from .parsing import shown
from .run import Config, Record, Run


def learning_rate(iteration: int, config: Config) -> float:
    """The cosine schedule with warm-up, which ends with the last step."""
    if iteration < config.warmup_steps:
        return config.max_lr * iteration / config.warmup_steps
    if iteration >= config.steps:
        return config.min_lr
    progress = (iteration - config.warmup_steps) / (config.steps - config.warmup_steps)
    return config.min_lr + 0.5 * (1 + math.cos(math.pi * progress)) * (config.max_lr - config.min_lr)


def faults_of_curve(run: Run, own_rates: Mapping[int, float] | None = None) -> Iterator[str]:
    """What of a run's metrics cannot come from its configuration, as sentences.

    Args:
        own_rates: {iteration: rate} of another schedule that the learning rates may follow as well.
    """
    config, records, name = run.config, run.records, f"{run.folder}/metrics.jsonl"
    pairs = list(itertools.pairwise(records))
    if twice := next((b for a, b in pairs if b.step <= a.step), None):
        yield f"{name}: step {twice.step} comes after one that is not before it; every step appears once, in order."
    if records[0].step < 1 or records[-1].step > config.steps:
        yield f"{name}: the steps go from {records[0].step} to {records[-1].step}, outside 1 to {config.steps}."
    if back := next((b for a, b in pairs if b.seconds < a.seconds), None):
        yield f"{name}: the time goes back at step {back.step}."
    sizes = (
        config.batch_size * config.context_length,
        config.batch_size * config.context_length * config.accumulation_steps,
    )
    if not any(all(r.tokens == r.step * size for r in records) for size in sizes):
        wrong = next(r for r in records if r.tokens != r.step * sizes[0])
        yield (
            f"{name}: {wrong.tokens:,} tokens at step {wrong.step}; {config.batch_size} windows of "
            f"{config.context_length} tokens a step make {wrong.step * sizes[0]:,}."
        )
    schedules = [lambda iteration: learning_rate(iteration, config)]
    if own_rates is not None:
        schedules.append(lambda iteration: own_rates.get(iteration, math.nan))
    rates = [_wrong_rate(records, schedule, shift) for schedule in schedules for shift in (0, 1)]
    if all(rates):
        wrong = rates[0] or records[0]
        expected = learning_rate(wrong.step, config)
        yield f"{name}: the learning rate of step {wrong.step} is {wrong.lr:g}; the schedule gives {expected:g}."
    missing = [
        r.step for r in records if r.val_loss is None and (r.step % config.eval_every == 0 or r.step == config.steps)
    ]
    if missing:
        yield f"{name}: no val_loss at step {missing[0]}, where one is due (every {config.eval_every}, and at the end)."


def _wrong_rate(records: tuple[Record, ...], schedule: Callable[[int], float], shift: int) -> Record | None:
    """The first record with another rate than the schedule's, which counts from 1 (shift 0) or from 0 (shift 1)."""
    for record in records:
        expected = schedule(record.step - shift)
        if not abs(record.lr - expected) <= 1e-4 * expected + 1e-12:
            return record
    return None


def has_ended(run: Run) -> bool:
    """Whether a run reached its last step with finite losses, as opposed to one that diverged or was broken off."""
    return math.isfinite(run.final_loss) and all(math.isfinite(r.train_loss) for r in run.records)


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """The weights of a model with this configuration: {name: shape}, as the adapters' contract lists them."""
    found = lm_shapes(config.vocab_size, config.d_model, config.num_layers, config.d_ff)
    left_out = [*([".w3."] if config.ffn != "swiglu" else []), *(["ln"] if config.norm == "none" else [])]
    return {name: shape for name, shape in found.items() if not any(part in name for part in left_out)}


def faults_of_weights(run: Run) -> Iterator[str]:
    """Where the weights are not those of a model with the run's configuration, as sentences."""
    found = {key: tuple(weight.shape) for key, weight in run.weights.items()}
    yield from faults_of_shapes(found, run.config, f"{run.folder}/model.safetensors")


def faults_of_shapes(found: Mapping[str, tuple[int, ...]], config: Config, name: str) -> Iterator[str]:
    """Where {weight: shape} of a file are not those of a model with this configuration, as sentences."""
    if config.num_layers > len(found):
        yield f"{name} has {len(found)} tensors, too few for {config.num_layers} layers."
        return
    expected = shapes(config)
    if more := sorted(found.keys() - expected.keys()):
        yield f"{name}: {shown(more[0])} is no part of the model that config.toml describes ({len(more)} such)."
    if missing := sorted(expected.keys() - found.keys()):
        yield f"{name}: {missing[0]} is missing ({len(missing)} such)."
    for key in expected.keys() & found.keys():
        if expected[key] != found[key]:
            yield f"{name}: {key} has shape {found[key]}; the configuration makes it {expected[key]}."
            return
