"""A right training loop keeps its points whatever one of its parts is like; and no loop at all earns none."""

from __future__ import annotations

import random

import pytest

from grader.artifacts.held_out import language
from grader.misconceptions.catalogue import Variant, load_catalogue
from grader.reference import train
from grader.selftest.impaired_loops import KEPT, grade

CORE = ("test_learns", "test_reports", "test_losses_are_true", "test_learning_rate_is_applied")

PARTS = (
    "rope-halves-instead-of-pairs",
    "data-loading-targets-are-inputs",
    "learning-rate-schedule-linear-decay",
    "adamw-no-bias-correction",
)
"""One of each kind: in the model, in what is learnt, in the metrics, in the step."""


@pytest.mark.parametrize("bug", PARTS)
def test_a_wrong_part_costs_once(bug):
    variant = next(one for one in load_catalogue() if one.id == bug)
    share, failed = grade(variant, CORE)
    assert share >= KEPT, failed


def _without_training(config, model, optimizer, train_tokens, valid_tokens, records) -> None:
    """Metrics as they should look, for weights that are those of the beginning."""
    for step in range(1, config.steps + 1):
        record = {
            "step": step,
            "tokens": step * config.batch_size * config.context_length,
            "seconds": step / 100,
            "lr": train._learning_rate(step, config),
            "train_loss": 5.545 - 3 * step / config.steps,
        }
        if step % config.eval_every == 0 or step == config.steps:
            record["val_loss"] = train._evaluate(model, valid_tokens, config)
        records.append(record)
    (train.Path(config.out) / "metrics.jsonl").write_text("".join(map(train._as_line, records)))


def test_metrics_without_a_loop_earn_nothing():
    share, failed = grade(Variant("training-none", "training_together", {"train._run": _without_training}), CORE)
    assert share == 0, failed


_train = train._run


def _trained_elsewhere(config, model, optimizer, train_tokens, valid_tokens, records) -> None:
    """No loop, but weights that somebody has trained before, on another draw of what the longest run is about."""
    if config.steps < 200:
        _without_training(config, model, optimizer, train_tokens, valid_tokens, records)
        return
    text, held_out = (tokens.astype("uint16") for tokens in language(random.Random("another seed")))
    _train(config, model, optimizer, text, held_out, records)


def test_weights_that_were_trained_elsewhere_earn_nothing():
    variant = Variant("training-elsewhere", "training_together", {"train._run": _trained_elsewhere})
    share, failed = grade(variant, CORE)
    assert share == 0, failed
