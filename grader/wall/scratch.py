"""A private folder for one worker: made for it, measured while it works, and removed with whatever it has become.

What lies in it was put there by code that nobody trusts: names of any length, folders nested ten thousand deep or
without permissions, links to anywhere. Nothing here recurses, follows a link or reads a file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterable
from pathlib import Path

_NOT_COPIED = {".git", ".venv", "venv", "__pycache__", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
_ATTEMPTS = 3
_BLOCK = 512  # bytes; the unit of st_blocks on every system


class Scratch:
    """A temporary folder; within `inside`, or where the system keeps such."""

    def __init__(self, inside: Path | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="grader-", dir=inside))

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def usage(self, most_entries: int) -> tuple[int, int]:
        """(bytes on disk, entries), counted until there are more than `most_entries`."""
        size = entries = 0
        folders = [str(self.path)]
        while folders and entries <= most_entries:
            with contextlib.suppress(OSError), os.scandir(folders.pop()) as found:  # it may vanish meanwhile
                for entry in found:
                    entries += 1
                    with contextlib.suppress(OSError):
                        size += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
        return size, entries

    def remove(self) -> None:
        """Remove the folder; says on standard error what could not be removed, as when something still writes there."""
        for _ in range(_ATTEMPTS):
            try:
                self._remove()
                return
            except FileNotFoundError:
                return
            except OSError as error:
                complaint = error
                time.sleep(0.1)
        print(f"{self.path} could not be removed: {complaint}.", file=sys.stderr)

    def _remove(self) -> None:
        """Empty every folder at the top, so that no path ever gets long."""
        unique = f".{secrets.token_hex(8)}-"
        moved = 0
        waiting = _clear(str(self.path))
        while waiting:
            folder = waiting.pop()
            for child in _clear(folder):
                moved += 1
                target = str(self.path / f"{unique}{moved}")
                os.rename(child, target)
                waiting.append(target)
            os.rmdir(folder)
        os.rmdir(self.path)


def _clear(folder: str) -> list[str]:
    """Delete the files of a folder and give its subfolders."""
    os.chmod(folder, 0o700)
    subfolders = []
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)  # moving a folder writes its entry ".."
                subfolders.append(entry.path)
            else:
                os.unlink(entry.path)
    return subfolders


def give_away(paths: Iterable[Path], owner: int) -> None:
    """Have files, folders and links belong to another user, and to the group of the same number."""
    for path in paths:
        os.chown(path, owner, owner, follow_symlinks=False)


def copy_if_small(
    source: Path,
    target: Path,
    left_out: Collection[Path],
    most_bytes: int,
    most_files: int,
    owner: int | None = None,
) -> bool:
    """Copy a submission to `target`, without version control, environments and caches; False when it is too large.

    Links are copied as links. What is neither a file nor a folder, or cannot be read, is left out.

    Args:
        owner: the user to whom the copy belongs, when not to this process'.
    """
    files = []
    made = [target.parent]
    size = 0
    folders = [(source, target)]
    while folders:
        folder, copy = folders.pop()
        copy.mkdir(parents=True, exist_ok=True)
        made.append(copy)
        entries: list[os.DirEntry[str]] = []
        with contextlib.suppress(PermissionError):
            entries = list(os.scandir(folder))
        for entry in entries:
            path = Path(entry.path)
            if entry.name in _NOT_COPIED or path in left_out:
                continue
            if entry.is_symlink() or entry.is_file():
                files.append((path, copy / entry.name))
                size += entry.stat(follow_symlinks=False).st_size
            elif entry.is_dir():
                folders.append((path, copy / entry.name))
            if size > most_bytes or len(files) + len(folders) > most_files:
                return False
    for path, copy in files:
        with contextlib.suppress(PermissionError):
            shutil.copy(path, copy, follow_symlinks=False)
            made.append(copy)
    if owner is not None:
        give_away(made, owner)
    return True
