"""Drivers for whole training runs: they lay out data, let the student's loop train, and bring back what it left.

A run is in a temporary folder on the student's side of the wall. What comes back of it are the bytes of its files, for
the judge to read; what the loop returns or prints counts for nothing.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import fresh_process
from ..exceptions import ContractBroken, NotProvided
from ..limits import memory_headroom

if TYPE_CHECKING:
    from ..operations import Operations

_REPORTED = ("config.toml", "metrics.jsonl", "model.safetensors", "curve.svg", "curve.png")
_MOST_BYTES = 16 << 20  # per file
_ATTEMPTS = 3
_POLL_S = 0.002
_START_S = 60.0
_STEPS_AFTER = 3  # between the checkpoint and the end
_KEPT = "of-the-judge"


def training_run(
    operations: Operations,
    config: dict[str, Any],
    train: np.ndarray,
    valid: np.ndarray,
    padding: int = 0,
    headroom_mib: int = 0,
) -> dict[str, bytes]:
    """Train on these token ids; gives {name: contents} of the run's files.

    Args:
        config: all of it but train_data, valid_data and out.
        padding: zeros after the training tokens. They are a hole in the file, so they take no disk space.
        headroom_mib: if not 0, the memory that training may take, in MiB.
    """
    with _laid_out(config, train, valid, padding) as full, memory_headroom(headroom_mib or 1 << 20):
        operations.adapter("run_train", config=full)
        return _files(Path(full["out"]))


def training_interrupted(
    operations: Operations, config: dict[str, Any], train: np.ndarray, valid: np.ndarray
) -> dict[str, Any]:
    """Train in a process of its own, kill it (SIGKILL) after its first checkpoint, and train again with the same
    configuration.

    Returns:
        files: as `training_run`, at the end; killed_at: metrics.jsonl when the process was killed.
        in_place: whether the checkpoint that was there then has been written over, and not replaced by another file.
    """
    for _ in range(_ATTEMPTS):
        with _laid_out(config, train, valid) as full:
            folder = Path(full["out"])
            _train_and_kill(operations, full)
            metrics = folder / "metrics.jsonl"
            killed_at = metrics.read_bytes() if metrics.exists() else b""
            if killed_at.count(b"\n") >= config["steps"]:
                continue  # it was done before it could be killed
            checkpoint, kept = folder / "checkpoint.pt", folder.with_name(_KEPT)
            os.link(checkpoint, kept)  # a second name of the same file: what is written into it shows here, too
            before = kept.read_bytes()
            operations.adapter("run_train", config=full)
            return {"files": _files(folder), "killed_at": killed_at, "in_place": kept.read_bytes() != before}
    raise ContractBroken(f"checkpoint.pt was not there before the training of {config['steps']} steps was over")


def training_refused(
    operations: Operations,
    config: dict[str, Any],
    train: np.ndarray,
    valid: np.ndarray,
    before: dict[str, Any] | None = None,
    cut: str = "",
) -> dict[str, Any]:
    """Ask for a run that cannot be.

    Args:
        before: the configuration of a run that is in the folder already; None for an empty one.
        cut: a file that is cut to half its size: "train_data", or one in the run's folder, whose `model.safetensors`
            is then removed, as if the run had not ended.

    Returns:
        error: type and text of the exception; None when there was none. is_value_error: whether it is a ValueError.
        changed: names of the files in the run's folder that are not what they were.
    """
    with _laid_out(config, train, valid) as full:
        folder = Path(full["out"])
        if before is not None:
            operations.adapter("run_train", config={**full, **before})
        if cut:
            path = Path(full[cut]) if cut in full else folder / cut
            os.truncate(path, path.stat().st_size // 2)
            if cut not in full:
                (folder / "model.safetensors").unlink(missing_ok=True)
        contents = _contents(folder)
        error, is_value_error = None, False
        try:
            operations.adapter("run_train", config=full)
        except (NotImplementedError, NotProvided):
            raise
        except Exception as refusal:
            error, is_value_error = f"{type(refusal).__name__}: {refusal}", isinstance(refusal, ValueError)
        after = _contents(folder)
        changed = [name for name in sorted(contents | after) if contents.get(name) != after.get(name)]
        return {"error": error, "is_value_error": is_value_error, "changed": changed}


@contextlib.contextmanager
def _laid_out(config: dict[str, Any], train: np.ndarray, valid: np.ndarray, padding: int = 0) -> Iterator[dict]:
    """The configuration with the paths of files that hold the data, and of a run folder that does not exist yet."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "valid.npy", valid)
        header = {"descr": train.dtype.str, "fortran_order": False, "shape": (len(train) + padding,)}
        with (folder / "train.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.write(train.tobytes())
            file.truncate(file.tell() + padding * train.itemsize)
        paths = {"train_data": folder / "train.npy", "valid_data": folder / "valid.npy", "out": folder / "runs" / "run"}
        yield {**{key: str(path) for key, path in paths.items()}, **config}


def _train_and_kill(operations: Operations, config: dict[str, Any]) -> None:
    """Train in a process of its own until there is a checkpoint, and metrics of the steps after it."""
    operations.require("run_train")
    checkpoint, metrics = (Path(config["out"], name) for name in ("checkpoint.pt", "metrics.jsonl"))
    with tempfile.TemporaryFile() as output:
        process = fresh_process.start(operations.adapters, "run_train", {"config": config}, output)
        try:
            deadline = time.monotonic() + _START_S
            while (first := _version(checkpoint)) is None and process.poll() is None and time.monotonic() < deadline:
                time.sleep(_POLL_S)
            lines = _lines(metrics) + _STEPS_AFTER
            # Metrics that are written in blocks do not show the steps; the next checkpoint shows that there were some.
            while _lines(metrics) < lines and _version(checkpoint) == first and process.poll() is None:
                time.sleep(_POLL_S)
        finally:
            process.kill()
            process.wait()
        if not checkpoint.exists():
            output.seek(0)
            said = output.read().decode("utf-8", "replace").strip().splitlines()
            if said and said[-1].startswith("NotImplementedError"):
                raise NotImplementedError(said[-1].partition(": ")[2])
            raise ContractBroken(
                "run_train, in a process of its own, left no checkpoint.pt in the run's folder"
                + (f"; the last it printed: {said[-1][:300]}" if said else "")
            )


def _version(path: Path) -> tuple[int, int] | None:
    """What changes whenever a file is replaced or written; None as long as it is not there."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def _files(folder: Path) -> dict[str, bytes]:
    """The run's files that the judge reads, those of reasonable size."""
    paths = [folder / name for name in _REPORTED]
    return {p.name: p.read_bytes() for p in paths if p.is_file() and p.stat().st_size <= _MOST_BYTES}


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} if folder.is_dir() else {}


DRIVERS = (training_run, training_interrupted, training_refused)
