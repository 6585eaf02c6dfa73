"""Driver for checkpoints: save in mid-training, load into fresh objects, train on."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from ..bench import Bench


def checkpoint_round_trip(
    bench: Bench,
    seed: int,
    iteration: int,
    target: str = "path",
    optimizer: str = "adamw",
    buffers: bool = False,
    evaluating: bool = False,
    saved_before: bool = False,
    trained_before: bool = False,
) -> dict[str, Any]:
    """Train, save, load into another model and optimizer, train on; and train on without the interruption.

    The models and optimizers are PyTorch's own, so that a mistake elsewhere does not show up here. The optimizer that
    is loaded into has been made with another learning rate.

    Args:
        target: what `out` and `src` are: "path" (pathlib.Path), "str", or "file" (an io.BytesIO).
        optimizer: "adamw", or "sgd" with momentum.
        buffers: let the model have buffers, which an optimizer does not see.
        evaluating: put the model into evaluation mode while it is saved.
        saved_before: an older checkpoint is already at the path.
        trained_before: the model and optimizer that are loaded into have trained on other data.

    Returns:
        iteration: what loading returned.
        saved, before_loading, loaded: the state of the model when it was saved, of the other one before and after
            loading.
        live: the state of the saved model right after saving; live_is_training: its mode then.
        resumed, uninterrupted: the state at the end of the two runs.
    """
    torch.manual_seed(seed)
    inputs, targets = torch.randn(16, 6), torch.randn(16, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.pt")
        place: Any = {"path": path, "str": str(path), "file": io.BytesIO()}[target]
        model, its_optimizer = _make(optimizer, buffers, learning_rate=1e-2)
        if saved_before:
            bench.adapter("run_save_checkpoint", model=model, optimizer=its_optimizer, iteration=1, out=place)
        _train(model, its_optimizer, inputs, targets)
        model.train(not evaluating)
        saved = _state(model)
        bench.adapter("run_save_checkpoint", model=model, optimizer=its_optimizer, iteration=iteration, out=place)
        live, live_is_training = _state(model), model.training
        model.train()

        other_model, other_optimizer = _make(optimizer, buffers, learning_rate=0.3)
        if trained_before:
            _train(other_model, other_optimizer, inputs.flip(0), targets)
        before_loading = _state(other_model)
        if target == "file":
            place.seek(0)
        found = bench.adapter("run_load_checkpoint", src=place, model=other_model, optimizer=other_optimizer)
    loaded = _state(other_model)
    for one, its_own in ((model, its_optimizer), (other_model, other_optimizer)):
        _train(one, its_own, inputs, targets)
    return {
        "iteration": found,
        "saved": saved,
        "live": live,
        "live_is_training": live_is_training,
        "before_loading": before_loading,
        "loaded": loaded,
        "resumed": _state(other_model),
        "uninterrupted": _state(model),
    }


def _make(optimizer: str, buffers: bool, learning_rate: float) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    norm = torch.nn.BatchNorm1d(8) if buffers else torch.nn.Identity()
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), norm, torch.nn.Tanh(), torch.nn.Linear(8, 2))
    if optimizer == "sgd":
        return model, torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    return model, torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.1)


def _train(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, inputs: torch.Tensor, targets: torch.Tensor
) -> None:
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()


def _state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


DRIVERS = (checkpoint_round_trip,)
