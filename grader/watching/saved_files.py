"""Which files of a submission are saved, as somebody works on them.

A library says when something happens in a folder, and once a second in any case; what happened is found by looking at
the files. So nothing is missed where the system tells nothing, as of some network drives, or while the watch is set up
anew, and it does not matter how an editor saves: in place, by a new file that takes the old one's name, or twice.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..errors import Refused
from ..rules.reach import ANSWERS
from ..wall.isolation import hidden_from
from ..worker.loader import Layout

_SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv", "runs", "data", "wandb"}
_MOST_FOLDERS = 2000
_AT_LEAST_EVERY_MS = 1000
_QUIET_MS = 50
"""An event is passed on when so long nothing else has happened, which an editor's several steps of saving fit in."""

Snapshot = Mapping[str, tuple[int, int, int]]
"""{source file, relative to the submission: (time of its last change in ns, size, number)}."""


def look(layout: Layout) -> tuple[Snapshot, frozenset[Path]]:
    """The source files of a submission as they are now, and the folders that they may lie in."""
    root = Path(layout.root)
    needed = root / layout.adapters
    hidden = [path for path in hidden_from(layout) if path != root and not needed.is_relative_to(path)]
    files: dict[str, tuple[int, int, int]] = {}
    seen: set[Path] = set()
    waiting = [root]
    while waiting and len(seen) < _MOST_FOLDERS:
        folder = waiting.pop()
        seen.add(folder)
        with contextlib.suppress(OSError), os.scandir(folder) as entries:  # it may vanish meanwhile
            for entry in entries:
                path = Path(entry.path)
                if entry.name.startswith(".") or entry.name in _SKIPPED or path in hidden:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if not (path / "pyvenv.cfg").exists():
                        waiting.append(path)
                elif entry.name.endswith(".py") or path == root / ANSWERS:
                    with contextlib.suppress(OSError):
                        status = entry.stat()
                        name = path.relative_to(root).as_posix()
                        files[name] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return files, frozenset(seen)


def changed(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """The files that were saved, made or removed between two looks, in alphabetical order."""
    return tuple(sorted(name for name in {*before, *after} if before.get(name) != after.get(name)))


class FolderWatch(threading.Thread):
    """Calls back whenever something happens in a folder.

    Args:
        folders: without those below them; tell: is called in this thread, with None, or with a sentence on why nothing
            can be seen any more.

    Raises:
        Refused: the library that watches is not installed.
    """

    def __init__(self, folders: Iterable[Path], tell: Callable[[str | None], None]) -> None:
        super().__init__(daemon=True)
        try:
            import watchfiles
        except ImportError as error:
            raise Refused(
                "watching files needs the package watchfiles, which is not installed here; `make setup` installs it, "
                "or `pip install watchfiles`."
            ) from error
        self._watch = watchfiles.watch
        self._folders = [str(folder) for folder in folders]
        self._tell = tell
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopped.is_set():
            there = [folder for folder in self._folders if os.path.isdir(folder)]
            try:
                for _ in self._watch(
                    *there,
                    watch_filter=None,
                    step=_QUIET_MS,
                    recursive=False,
                    stop_event=self._stopped,
                    rust_timeout=_AT_LEAST_EVERY_MS,
                    yield_on_timeout=True,
                    raise_interrupt=False,
                ):
                    self._tell(None)
                return
            except FileNotFoundError:  # one of the folders has just gone
                self._stopped.wait(_QUIET_MS / 1000)
                self._tell(None)
            except Exception as error:  # as when the system's supply of watches is used up
                self._tell(f"files cannot be watched: {error}.")
                return

    def stop(self) -> None:
        """End it soon; it may call back once more."""
        self._stopped.set()
