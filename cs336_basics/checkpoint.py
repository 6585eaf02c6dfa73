"""Saving and resuming a training run."""

import os
from typing import IO, BinaryIO

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
    raise NotImplementedError("checkpointing: write save_checkpoint in cs336_basics/checkpoint.py")


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
    raise NotImplementedError("checkpointing: write load_checkpoint in cs336_basics/checkpoint.py")
