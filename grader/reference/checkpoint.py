"""Saving and resuming a training run."""

import os
import pickle
from pathlib import Path
from typing import IO, Any, BinaryIO

import torch
from torch import nn


def save_checkpoint(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    iteration: int,
    out: str | os.PathLike[str] | BinaryIO | IO[bytes],
) -> None:
    """Write everything needed to resume: the state of model and optimizer, and the iteration.

    A file at a path is replaced in one step, once its successor is complete: after an interrupted save, the previous
    checkpoint is still there. A model wrapped by `torch.compile` is saved under its plain parameter names.

    Args:
        model: the model being trained.
        optimizer: its optimizer.
        iteration: number of training iterations done so far.
        out: a path, or a binary file open for writing.

    Problem: checkpointing
    """
    checkpoint = {
        "model": _plain(model).state_dict(),
        "optimizer": optimizer.state_dict(),
        "iteration": iteration,
    }
    if not isinstance(out, (str, os.PathLike)):
        torch.save(checkpoint, out)
        return
    partial = Path(f"{os.fspath(out)}.partial")
    try:
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name on old, empty blocks
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(
    src: str | os.PathLike[str] | BinaryIO | IO[bytes], model: nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    """Restore what `save_checkpoint` wrote into `model` and `optimizer`, and return the iteration.

    Both are changed in place and stay on their device, wherever the checkpoint was written: a file from a GPU loads on
    a machine without one. Unpickle only plain data (`weights_only=True`), never code.

    Args:
        src: a path, or a binary file open for reading.
        model: a model of the same architecture.
        optimizer: an optimizer over its parameters.

    Returns:
        The iteration that was saved.

    Raises:
        ValueError: `src` is not a complete checkpoint; model and optimizer are unchanged.
        RuntimeError: the checkpoint belongs to a model with other parameters or shapes.

    Problem: checkpointing
    """
    try:
        checkpoint: dict[str, Any] = torch.load(src, map_location="cpu", weights_only=True)
        model_state, optimizer_state = checkpoint["model"], checkpoint["optimizer"]
        iteration = checkpoint["iteration"]
    except (EOFError, KeyError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        name = os.fspath(src) if isinstance(src, (str, os.PathLike)) else "The file"
        raise ValueError(
            f"{name} is not a complete checkpoint (it may have been cut off while it was written); "
            "resume from an older one."
        ) from error
    _plain(model).load_state_dict(model_state)
    optimizer.load_state_dict(optimizer_state)
    return iteration


def _plain(model: nn.Module) -> nn.Module:
    """The model inside the wrapper of `torch.compile`, which would prefix all names with `_orig_mod.`."""
    return getattr(model, "_orig_mod", model)
