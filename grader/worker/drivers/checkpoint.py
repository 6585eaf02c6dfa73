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
    bench: Bench, seed: int, steps_before: int, steps_after: int, iteration: int, target: str
) -> dict[str, Any]:
    """Train, save, load into a new model and optimizer, train on; and train on without the interruption.

    The model and the optimizer are PyTorch's own, so that a mistake elsewhere does not show up here.

    Args:
        target: what `out` and `src` are: "path" (pathlib.Path), "str", or "file" (an io.BytesIO).

    Returns:
        iteration: what loading returned; resumed, uninterrupted: final parameters of the two runs;
        loaded: parameters right after loading; saved: parameters when they were saved;
        live: the parameters of the saved model after saving.
    """
    torch.manual_seed(seed)
    model, optimizer = _fresh()
    inputs, targets = torch.randn(16, 6), torch.randn(16, 2)
    _train(model, optimizer, inputs, targets, steps_before)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.pt")
        place: Any = {"path": path, "str": str(path), "file": io.BytesIO()}[target]
        saved = _values(model)
        bench.adapter("run_save_checkpoint", model=model, optimizer=optimizer, iteration=iteration, out=place)
        live = _values(model)
        if target == "file":
            place.seek(0)
        other_model, other_optimizer = _fresh()
        found = bench.adapter("run_load_checkpoint", src=place, model=other_model, optimizer=other_optimizer)
    loaded = _values(other_model)
    _train(model, optimizer, inputs, targets, steps_after)
    _train(other_model, other_optimizer, inputs, targets, steps_after)
    return {
        "iteration": found,
        "saved": saved,
        "live": live,
        "loaded": loaded,
        "resumed": _values(other_model),
        "uninterrupted": _values(model),
    }


def _fresh() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    return model, torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)


def _train(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    steps: int,
) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()


def _values(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


DRIVERS = (checkpoint_round_trip,)
