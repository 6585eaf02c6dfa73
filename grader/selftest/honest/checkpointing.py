"""Checkpoints, right and written differently."""

from __future__ import annotations

import os
import pickle

import torch

from grader.misconceptions.catalogue import Variant


def _save_tuple(model, optimizer, iteration, out):
    torch.save((model.state_dict(), optimizer.state_dict(), iteration), out)


def _load_tuple(src, model, optimizer):
    model_state, optimizer_state, iteration = torch.load(src, map_location="cpu", weights_only=False)
    optimizer.load_state_dict(optimizer_state)
    model.load_state_dict(model_state)
    return iteration


def _save_open_file(model, optimizer, iteration, out):
    contents = {
        "model_state_dict": {name: value.cpu().clone() for name, value in model.state_dict().items()},
        "optimizer_state_dict": optimizer.state_dict(),
        "iteration": torch.tensor(iteration),
    }
    if isinstance(out, (str, os.PathLike)):
        os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
        with open(out, "wb") as file:
            torch.save(contents, file)
    else:
        torch.save(contents, out)


def _load_open_file(src, model, optimizer):
    contents = torch.load(src)
    model.load_state_dict(contents["model_state_dict"], strict=True)
    optimizer.load_state_dict(contents["optimizer_state_dict"])
    return int(contents["iteration"])


def _save_pickle(model, optimizer, iteration, out):
    file = open(out, "wb") if isinstance(out, (str, os.PathLike)) else out  # noqa: SIM115  (or the caller's)
    pickle.dump({"m": model.state_dict(), "o": optimizer.state_dict(), "i": iteration}, file)
    file.flush()


def _load_pickle(src, model, optimizer):
    file = open(src, "rb") if isinstance(src, (str, os.PathLike)) else src  # noqa: SIM115  (or the caller's)
    found = pickle.load(file)
    model.load_state_dict(found["m"])
    optimizer.load_state_dict(found["o"])
    return found["i"]


VARIANTS = tuple(
    Variant(
        f"checkpointing-{name}",
        "checkpointing",
        {"checkpoint.save_checkpoint": save, "checkpoint.load_checkpoint": load},
    )
    for name, save, load in (
        ("tuple", _save_tuple, _load_tuple),
        ("open-file", _save_open_file, _load_open_file),
        ("pickle", _save_pickle, _load_pickle),
    )
)
