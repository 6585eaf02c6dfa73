"""A private folder for one worker: made for it, measured while it works, and removed with whatever it has become.

What lies in it was put there by code that nobody trusts: names of any length, folders nested ten thousand deep or
without permissions, links to anywhere. Nothing here recurses, follows a link or reads a file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Collection, Iterable
from pathlib import Path

_NOT_COPIED = {".git", ".venv", "venv", "__pycache__", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
_ATTEMPTS = 3
_NOT_TO_BE_HAD = (PermissionError, FileNotFoundError)
"""What is not ours to read, or an editor has just removed: that is left out of a copy."""

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


def is_small(source: Path, left_out: Collection[Path], most_bytes: int, most_files: int) -> bool:
    """Whether what `copy_submission` copies of a submission keeps within these bounds."""
    return _contents(source, left_out, most_bytes, most_files) is not None


def copy_submission(
    source: Path,
    target: Path,
    left_out: Collection[Path],
    owner: int | None = None,
    before: Collection[Path] = (),
) -> list[Path]:
    """Copy a submission to `target`, without version control, environments and caches.

    Links are copied as links. What is neither a file nor a folder, or cannot be read, is left out. Files have the times
    of those that they are copies of. Gives what was copied, as paths relative to the folder.

    Args:
        owner: the user to whom the copy belongs, when not to this process'.
        before: what an earlier call copied there. Of this, only what has changed is copied, and what is gone is
            removed; other things that lie there stay, such as the places where bubblewrap mounts something. Nothing of
            the submission may have run there yet.
    """
    contents = _contents(source, left_out) or []
    kinds = {path.relative_to(source): _kind(path) for path in contents}
    for path in reversed(list(before)):  # what is in a folder before the folder
        if kinds.get(path) != (kind := _kind(target / path)):
            (target / path).rmdir() if kind == stat.S_IFDIR else (target / path).unlink(missing_ok=True)
    _copy([path for path in contents if _differs(path, target / path.relative_to(source))], source, target, owner)
    return list(kinds)


def _contents(
    source: Path, left_out: Collection[Path], most_bytes: int = sys.maxsize, most_files: int = sys.maxsize
) -> list[Path] | None:
    """The folders, files and links of a submission that belong into its copy, outer ones first; None: too many."""
    found: list[Path] = []
    size = 0
    folders = [source]
    while folders:
        entries: list[os.DirEntry[str]] = []
        with contextlib.suppress(*_NOT_TO_BE_HAD):
            entries = list(os.scandir(folders.pop()))
        for entry in entries:
            path = Path(entry.path)
            if entry.name in _NOT_COPIED or path in left_out:
                continue
            if entry.is_symlink() or entry.is_file():
                with contextlib.suppress(*_NOT_TO_BE_HAD):
                    size += entry.stat(follow_symlinks=False).st_size
            elif entry.is_dir():
                folders.append(path)
            else:
                continue
            found.append(path)
            if size > most_bytes or len(found) > most_files:
                return None
    return found


def _copy(contents: Iterable[Path], source: Path, target: Path, owner: int | None) -> None:
    made = [] if target.is_dir() else [target.parent, target]
    target.mkdir(parents=True, exist_ok=True)
    for path in contents:
        copy = target / path.relative_to(source)
        if _kind(path) == stat.S_IFDIR:
            copy.mkdir(exist_ok=True)
        else:
            with contextlib.suppress(*_NOT_TO_BE_HAD):
                copy.unlink(missing_ok=True)
                shutil.copy(path, copy, follow_symlinks=False)
                times = path.stat(follow_symlinks=False)
                os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns), follow_symlinks=False)
        if os.path.lexists(copy):
            made.append(copy)
    if owner is not None:
        give_away(made, owner)


def _kind(path: Path) -> int:
    """Whether there is a file, a folder or a link; 0 where there is nothing."""
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except OSError:
        return 0


def _differs(path: Path, copy: Path) -> bool:
    """Whether a file is not the one that was copied, as far as its time and size tell."""
    try:
        one, other = path.lstat(), copy.lstat()
    except OSError:
        return True
    if stat.S_ISDIR(one.st_mode):
        return False
    return (one.st_mtime_ns, one.st_size, one.st_mode) != (other.st_mtime_ns, other.st_size, other.st_mode)
