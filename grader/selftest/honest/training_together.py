"""Training loops, right and written differently."""

from __future__ import annotations

import io
import random

import numpy as np
import torch

from grader.misconceptions.catalogue import Variant
from grader.reference import train as right

_evaluate, _replace, _learning_rate = right._evaluate, right._replace, right._learning_rate


# The sampling goes on from where it is, and the checkpoint has the state of every generator.


def _draw_on(tokens, step, config):
    if step == 1:
        torch.manual_seed(config.seed)
    return right.get_batch(tokens, config.batch_size, config.context_length, "cpu")


def _save_generators(model, optimizer, iteration, out):
    content = io.BytesIO()
    torch.save(
        {
            "weights": model.state_dict(),
            "adam": optimizer.state_dict(),
            "step": iteration,
            "generators": [torch.get_rng_state(), np.random.get_state(), random.getstate()],
        },
        content,
    )
    _replace(out, content.getvalue())


def _load_generators(checkpoint, model, optimizer):
    if not checkpoint.exists():
        return 0
    try:
        found = torch.load(checkpoint, weights_only=False)
    except Exception as error:
        raise ValueError(f"{checkpoint} is damaged: {error}") from error
    model.load_state_dict(found["weights"])
    optimizer.load_state_dict(found["adam"])
    torch.set_rng_state(found["generators"][0])
    return found["step"]


def _draw_by_numpy(tokens, step, config):
    generator = np.random.default_rng([config.seed, step])
    starts = generator.integers(len(tokens) - config.context_length, size=config.batch_size)
    windows = np.stack([tokens[start : start + config.context_length + 1] for start in starts]).astype(np.int64)
    return torch.from_numpy(windows[:, :-1]), torch.from_numpy(windows[:, 1:])


@torch.no_grad()
def _evaluate_window_by_window(model, tokens, config):
    length = config.context_length
    windows = min((len(tokens) - 1) // length, config.eval_batches * config.batch_size)
    losses = []
    for i in range(windows):
        window = torch.tensor(np.asarray(tokens[i * length : (i + 1) * length + 1]).astype(np.int64))
        losses.append(torch.nn.functional.cross_entropy(model(window[:-1]), window[1:]).item())
    return float(np.mean(losses))


def _update_by_torch(model, optimizer, batch, lr, config):
    """PyTorch's clipping and loss; gradients freed, not zeroed."""
    optimizer.zero_grad(set_to_none=True)
    losses = []
    for inputs, targets in zip(*(part.chunk(config.accumulation_steps) for part in batch), strict=True):
        loss = torch.nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        (loss / config.accumulation_steps).backward()
        losses.append(loss.item())
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    return float(np.mean(losses))


def _adamw_of_torch(parameters, lr, betas, eps, weight_decay):
    return torch.optim.AdamW(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


def _count_from_zero(step, config):
    return _learning_rate(step - 1, config)


def _draw_picture(records, folder):
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots()
    axes.plot([record["step"] for record in records], [record["train_loss"] for record in records])
    figure.savefig(folder / "curve.png")


VARIANTS = tuple(
    Variant(f"training-{id}", "training_together", {f"train.{name}": value for name, value in replaced.items()})
    for id, replaced in {
        "generators-in-checkpoint": {
            "_draw_batch": _draw_on,
            "save_checkpoint": _save_generators,
            "_resume": _load_generators,
        },
        "numpy": {
            "_draw_batch": _draw_by_numpy,
            "_evaluate": _evaluate_window_by_window,
            "_learning_rate": _count_from_zero,
        },
        "torch": {"_update": _update_by_torch, "AdamW": _adamw_of_torch, "_draw_curve": _draw_picture},
    }.items()
)
