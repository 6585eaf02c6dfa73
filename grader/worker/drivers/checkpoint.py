"""Drivers for checkpoints: save in mid-training, load into fresh objects, here or in another process, train on.

The models and optimizers are PyTorch's own, so that a mistake elsewhere does not show up here. The optimizer that is
loaded into has been made with another learning rate.
"""

from __future__ import annotations

import inspect
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import fresh_process
from ..exceptions import ContractBroken, NotProvided

if TYPE_CHECKING:
    from ..operations import Operations

_NAME = "checkpoint.pt"
_LOADING_S = 45.0


def checkpoint_round_trip(operations: Operations, **how: Any) -> dict[str, Any]:
    """Train, save, load into another model and optimizer, train on; and train on without the interruption.

    Args:
        how: what `_save` and `_restore` take.

    Returns:
        What `_save` and `_restore` give.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved, job = _save(operations, Path(folder), **how)
        return saved | _restore(operations, **job)


def checkpoints_elsewhere(operations: Operations, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same for each of these, saving here and loading in a Python of its own, which knows nothing of the saving.

    Returns:
        For each job what `checkpoint_round_trip` gives, or {"error": what was raised, and where}.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for number, how in enumerate(jobs):
            place = Path(folder, str(number))
            place.mkdir()
            made.append(_attempt("run_save_checkpoint", _save_aside, operations, place, how))
        left = [one["job"] for one in made if "job" in one]
        arguments = {"jobs": left}
        answers = iter(
            fresh_process.perform(operations.adapters, "checkpoints_restored", arguments, _LOADING_S) if left else ()
        )
    return [one["saved"] | next(answers) if "job" in one else one for one in made]


def checkpoints_restored(operations: Operations, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`_restore` for each of these; what `checkpoints_elsewhere` has the other process do."""
    return [_attempt("run_load_checkpoint, in a process of its own,", _restore, operations, **job) for job in jobs]


def _save_aside(operations: Operations, folder: Path, how: dict[str, Any]) -> dict[str, Any]:
    saved, job = _save(operations, folder, **how)
    return {"saved": saved, "job": job}


def _attempt(who: str, work: Callable[..., dict[str, Any]], *arguments: Any, **named: Any) -> dict[str, Any]:
    """What `work` gives, or {"error": a sentence}; what is not written or not there is for the caller to hear of.

    So is an import that fails: a package or a newer Python may be all that is missing.
    """
    try:
        return work(*arguments, **named)
    except (NotImplementedError, NotProvided, ImportError, SyntaxError):
        raise
    except Exception as error:
        return {"error": f"{who} raised {type(error).__name__}: {error}"[:1000]}


def checkpoint_of_another_model(operations: Operations) -> dict[str, Any]:
    """Load a checkpoint into a model whose weights have other names; gives {"error": its text, or None}."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, _NAME)
        model, optimizer = _make("adamw", False, learning_rate=1e-2)
        _train(model, optimizer, torch.randn(16, 6), torch.randn(16, 2))
        operations.adapter("run_save_checkpoint", model=model, optimizer=optimizer, iteration=3, out=path)
        other = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 2))
        its_own = torch.optim.AdamW(other.parameters(), lr=0.3)
        try:
            operations.adapter("run_load_checkpoint", src=path, model=other, optimizer=its_own)
        except NotImplementedError:
            raise
        except Exception as refusal:
            return {"error": f"{type(refusal).__name__}: {refusal}"[:1000]}
        return {"error": None}


def _save(
    operations: Operations,
    folder: Path,
    seed: int,
    iteration: int,
    target: str = "path",
    optimizer: str = "adamw",
    buffers: bool = False,
    evaluating: bool = False,
    saved_before: bool = False,
    trained_before: bool = False,
    only_the_file: bool = False,
    weights_given: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train, save into a folder, move what is there to another one, and train on.

    Args:
        target: what `out` and `src` are: "path" (pathlib.Path), "str", or "file" (an io.BytesIO).
        optimizer: "adamw", or "sgd" with momentum.
        buffers: let the model have buffers, and a bias that does not train: what an optimizer leaves alone.
        evaluating: put the model into evaluation mode while it is saved.
        saved_before: an older checkpoint is already at the path.
        trained_before: the model and optimizer that are loaded into have trained on other data.
        weights_given: hand the saved weights over to whoever loads, so that only the optimizer's state matters.
        only_the_file: of what saving left, only the file at the path is there for loading, under another name.

    Returns:
        saved: the state of the model when it was saved; live: right after saving; live_is_training: its mode then;
        uninterrupted: at the end of three more steps. Beside it, the arguments for `_restore`.
    """
    torch.manual_seed(seed)
    inputs, targets = torch.randn(16, 6), torch.randn(16, 2)
    (folder / "written").mkdir()
    path = folder / "written" / _NAME
    place: Any = {"path": path, "str": str(path), "file": io.BytesIO()}[target]
    model, its_optimizer = _make(optimizer, buffers, learning_rate=1e-2)
    if saved_before:
        operations.adapter("run_save_checkpoint", model=model, optimizer=its_optimizer, iteration=1, out=place)
    _train(model, its_optimizer, inputs, targets)
    model.train(not evaluating)
    saved = _state(model)
    operations.adapter("run_save_checkpoint", model=model, optimizer=its_optimizer, iteration=iteration, out=place)
    live, live_is_training = _state(model), model.training
    model.train()
    _train(model, its_optimizer, inputs, targets)
    job = {
        "folder": str(folder / "moved"),
        "name": _NAME,
        "content": place.getvalue() if target == "file" else None,
        "seed": seed,
        "target": target,
        "optimizer": optimizer,
        "buffers": buffers,
        "trained_before": trained_before,
        "weights": saved if weights_given else None,
    }
    if only_the_file:
        if not path.is_file():
            found = ", ".join(sorted(one.name for one in path.parent.iterdir())) or "nothing"
            raise ContractBroken(f"saving to {_NAME} left no file of that name in its folder, but {found}")
        (folder / "moved").mkdir()
        path.rename(folder / "moved" / "taken-along.bin")
        job["name"] = "taken-along.bin"
    else:
        path.parent.rename(folder / "moved")
    result = {"saved": saved, "live": live, "live_is_training": live_is_training, "uninterrupted": _state(model)}
    return result, job


def _restore(
    operations: Operations,
    folder: str,
    name: str,
    content: bytes | None,
    seed: int,
    target: str,
    optimizer: str,
    buffers: bool,
    trained_before: bool,
    weights: dict[str, torch.Tensor] | None,
) -> dict[str, Any]:
    """Load a checkpoint into a fresh model and optimizer, and train on.

    Args:
        content: of the file object, where that is the target.
        weights: written into the model after loading, in place; None: those that were loaded stay.

    Returns:
        iteration: what loading returned; before_loading, loaded: the model's state then; loaded_is_training: its mode
        after loading; resumed: its state at the end of three more steps.
    """
    torch.manual_seed(seed)
    inputs, targets = torch.randn(16, 6), torch.randn(16, 2)
    path = Path(folder, name)
    source: Any = {"path": path, "str": str(path), "file": io.BytesIO(content or b"")}[target]
    torch.manual_seed(seed + 1000)
    model, its_optimizer = _make(optimizer, buffers, learning_rate=0.3)
    if trained_before:
        _train(model, its_optimizer, inputs.flip(0), targets)
    before_loading = _state(model)
    found = operations.adapter("run_load_checkpoint", src=source, model=model, optimizer=its_optimizer)
    loaded, is_training = _state(model), model.training
    model.train()
    if weights is not None:
        model.load_state_dict(weights)
    _train(model, its_optimizer, inputs, targets)
    return {
        "iteration": found,
        "before_loading": before_loading,
        "loaded": loaded,
        "loaded_is_training": is_training,
        "resumed": _state(model),
    }


def _make(optimizer: str, buffers: bool, learning_rate: float) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    norm = torch.nn.BatchNorm1d(8) if buffers else torch.nn.Identity()
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), norm, torch.nn.Tanh(), torch.nn.Linear(8, 2))
    model[0].bias.requires_grad_(not buffers)
    if optimizer == "sgd":
        return model, torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    return model, torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.1)


def _train(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, inputs: torch.Tensor, targets: torch.Tensor
) -> None:
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), targets).backward()
        with torch.no_grad():
            inspect.unwrap(type(optimizer).step)(optimizer)  # what it is wrapped in imports torch's compiler: a second


def _state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


DRIVERS = (checkpoint_round_trip, checkpoints_elsewhere, checkpoints_restored, checkpoint_of_another_model)
