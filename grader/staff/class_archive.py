"""A class that comes as one archive, as Gradescope and Canvas export it: unpacked once, into the folder of the batch.

It lies in `OUT/handed_in`, so that all machines of a batch see the same files, and the next batch, too. What tells
whether a grade is of the same submission are names, sizes and times of its files (`batch.stamped`); a time in such an
archive says when it was downloaded, so the files here get times that follow from what they hold.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import Refused
from ..report.output import write_json
from ..submission.archive import unpack_each

HANDED_IN = "handed_in"
_LOCK, _KNOWN = ".handed_in.lock", ".handed_in.json"
_TIME_S = 1_000_000_000
"""The times given to files are of the 30 years from here on (2001), in seconds."""
_TIMES = 30 * 365 * 24 * 3600 * 1_000_000_000


@dataclass(frozen=True)
class UnpackedClass:
    """The folder with the submissions of an archive, and {entry: why it is not there}."""

    folder: Path
    refused: Mapping[str, str]


def unpacked_class(archive: Path, out: Path) -> UnpackedClass:
    """Unpack the archive of a class, unless that has been done; another batch that does so is waited for.

    Raises:
        Refused: it is damaged, the disk is full, or `out` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _alone(out):
            stamp = _stamp(archive)
            if (known := _known(out, stamp)) is not None:
                return known
            return _unpack(archive, out, stamp)
    except OSError as error:
        raise Refused(f"{archive} cannot be unpacked into {out / HANDED_IN}: {error.strerror or error}.") from error


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    import fcntl

    with (out / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _stamp(archive: Path) -> list[int]:
    found = archive.stat()
    return [found.st_size, found.st_mtime_ns]


def _known(out: Path, stamp: list[int]) -> UnpackedClass | None:
    """What an earlier batch has unpacked, if it was the same file."""
    try:
        known = json.loads((out / _KNOWN).read_text("utf-8"))
        if known["stamp"] == stamp and (out / HANDED_IN).is_dir():
            return UnpackedClass(out / HANDED_IN, dict(known["refused"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _unpack(archive: Path, out: Path, stamp: list[int]) -> UnpackedClass:
    folder, fresh = out / HANDED_IN, out / f".{HANDED_IN}"
    (out / _KNOWN).unlink(missing_ok=True)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        refused = unpack_each(archive, fresh)
        for path in fresh.rglob("*"):
            if path.is_file():
                time = _TIME_S * 1_000_000_000 + _number_of(path) % _TIMES
                os.utime(path, ns=(time, time))
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    write_json({"stamp": stamp, "refused": refused}, out / _KNOWN)
    return UnpackedClass(folder, refused)


def _number_of(path: Path) -> int:
    with path.open("rb") as file:
        return int.from_bytes(hashlib.file_digest(file, "sha256").digest()[:8], "big")
