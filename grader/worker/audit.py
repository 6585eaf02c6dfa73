"""The audit: notes what honest code has no reason to do, while a submission is imported and called.

It is an audit hook (PEP 578), which Python cannot remove again, and a look at whether functions that everybody relies
on are still what they were. Only what the submission itself causes is noted: somewhere on the stack must be a frame
of one of its files.

What it notes is evidence for a person. It is not what keeps a submission from gaining anything: that is the wall. Code
that is not Python goes unnoticed, and a submission that takes the worker apart can silence the audit, or accuse
itself.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import json
import os
import socket
import sys
import time
import tracemalloc
import types
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

import torch

from . import buffers, exceptions, operations  # noqa: F401  # loaded before the submission is, so that all is watched from the start
from .identity_snapshot import IdentitySnapshot

_PACKAGE = __name__.rpartition(".")[0] + "."
_MAIN = "__main__."
_HERE = os.path.dirname(__file__)
_KEPT = 20
_TEXT_LIMIT = 200
_DEVICES = ("/dev/", "/proc/self/task/")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_CHANGES = frozenset({"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"})
_SEARCHES = frozenset({"gc.get_objects", "gc.get_referrers", "sys._current_frames"})
_NAMINGS = frozenset({"compile", "code.__new__"})
_DIRECT = _SEARCHES | _NAMINGS | {"sys._getframe"}
"""What libraries do for good reasons; noted only where the submission itself calls it."""

_WATCHED = _CHANGES | _DIRECT | {"open", "os.listdir", "os.scandir", "os.kill", "os.killpg", "socket.connect"}
_VARIABLES = frozenset({"f_locals", "f_globals"})
_WALKS = frozenset({"f_back", "stack", "getouterframes", "walk_stack"})
_PUBLIC = frozenset({"stat", "status", "statm", "comm"})
"""What programs such as ps show of any process, and what libraries read to find their children."""

_RELIED_ON: dict[str, tuple[Any, tuple[str, ...]]] = {
    "time": (time, ("time", "monotonic", "perf_counter", "process_time", "sleep", "perf_counter_ns", "monotonic_ns")),
    "builtins": (builtins, ("isinstance", "len", "type", "getattr", "abs", "open", "__import__", "all", "any")),
    "json": (json, ("dumps", "loads")),
    "os": (os, ("_exit", "kill", "read", "write", "getpid")),
    "socket": (socket, ("socket", "socket.sendall", "socket.recv", "socket.recv_into")),
    "tracemalloc": (tracemalloc, ("start", "stop", "get_traced_memory", "reset_peak")),
    "torch": (torch, ("equal", "allclose", "isclose", "isfinite", "isnan", "Tensor.__eq__", "testing.assert_close")),
}
"""What a patched clock or a comparison that always agrees would be set in place of."""

Notice = dict[str, str]
"""Something worth a look: `kind`, `evidence` (what happened, in words) and `where` (file:line in the submission)."""


class Audit:
    """Watches one submission for as long as this process lives.

    Args:
        root: the submission's folder.
        hidden: paths of the judge's that it has no business with.
        libraries: folders below them that hold installed packages, which anybody may read.
    """

    def __init__(self, root: str, hidden: Iterable[str], libraries: Iterable[str]) -> None:
        self._root = _real(root)
        self._hidden = [_real(path) for path in hidden]
        self._readable = [_real(path) for path in (sys.prefix, sys.base_prefix, _HERE, *libraries)]
        self._hidden_in_root = [path for path in self._hidden if _belongs(path, [self._root])]
        self._writable = [_real(os.environ[name]) for name in ("HOME", "TMPDIR") if name in os.environ]
        self._owned: dict[str, bool] = {}
        self._seen: dict[tuple[str, str], Notice] = {}
        self._busy = False
        self._guarded: dict[str, Any] = {}
        self._original = _relied_on()

        def hear(event: str, details: tuple[Any, ...]) -> None:
            if event in _WATCHED:
                self._hear(event, details)

        sys.addaudithook(hear)  # a method would take Python three times as long for each of thousands of events

    def watch_over(self, **objects: Any) -> None:
        """Watch over these objects of the worker's, too: nothing may be put in place of their methods."""
        self._look_for_patches()
        self._guarded |= objects
        self._original = _relied_on(self._guarded)

    def take(self) -> list[Notice]:
        """What was noted since the last time, and forget it."""
        self._look_for_patches()
        seen, self._seen = list(self._seen.values()), {}
        return seen

    @contextlib.contextmanager
    def unconcerned(self) -> Iterator[None]:
        """What the enclosed code patches is the worker's doing."""
        self._look_for_patches()
        yield
        self._original = _relied_on(self._guarded)

    def _look_for_patches(self) -> None:
        changed = self._original.differences(_of_libraries())
        for name in changed:
            ours = name.startswith((_PACKAGE, _MAIN, "tracemalloc."))
            self._note("tampered" if ours else "patched", f"it replaced {name.removeprefix(_PACKAGE)}", "")
        if changed:
            self._original = _relied_on(self._guarded)

    def _hear(self, event: str, details: tuple[Any, ...]) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            if remark := self._remark(event, details):
                kind, evidence = remark
                frame = self._frame_of_submission(direct=event in _DIRECT)
                if frame is not None and (event != "sys._getframe" or self._looks_outside(frame, details)):
                    self._note(kind, evidence, self._place(frame))
        except Exception:  # whatever it is asked about strange arguments, the submission's call goes on
            return
        finally:
            self._busy = False

    def _remark(self, event: str, details: tuple[Any, ...]) -> tuple[str, str] | None:
        """The kind of notice that an event deserves, and its evidence; None for what anybody does."""
        if event in _SEARCHES or event == "sys._getframe":
            return "searched", f"it called {event}, which leads to objects that are not its own"
        if event in _NAMINGS:
            return self._about_name(str(details[1]))
        if event == "socket.connect":
            return self._about_address(details[1])
        if event in ("os.kill", "os.killpg"):
            target, number = int(details[0]), int(details[1])
            own = {0, os.getpid(), -os.getpgrp()} if event == "os.kill" else {0, os.getpgrp()}
            if number == 0 or target in own or _descends_from_us(target) or _is_gone(target):
                return None
            return "processes", f"it sent signal {number} to process {target}"
        paths = [_absolute(os.fsdecode(item)) for item in details[:2] if isinstance(item, (str, bytes))]
        if event == "open":
            paths = paths[:1]
            mode, flags = details[1], details[2]
            writing = bool(flags & _WRITING) if isinstance(flags, int) else any(c in str(mode) for c in "wax+")
        else:
            writing = event in _CHANGES
        for path in paths:
            if remark := self._about_path(path, writing, "listed" if event.startswith("os.") else "opened"):
                return remark
        return None

    def _about_address(self, address: Any) -> tuple[str, str] | None:
        """A socket with a path is one between processes of this machine; its own ones lie where it may write."""
        if isinstance(address, (str, bytes)):
            path = _real(_absolute(os.fsdecode(address))) if address[:1] not in ("\0", b"\0") else ""
            if _belongs(path, [*self._writable, self._root]):
                return None
        return "network", f"it tried to connect to {address!r}"

    def _about_name(self, file: str) -> tuple[str, str] | None:
        """Code is given the name of a file, which is what tells whose code it is."""
        if file.startswith("<frozen ") or (os.path.isabs(file) and _belongs(_real(file), self._readable)):
            return "disguised", f"it gave code of its own the name {file}"
        return None

    def _looks_outside(self, frame: types.FrameType, details: tuple[Any, ...]) -> bool:
        """Whether the code of a frame that asked for frames reads the variables of others than the submission's."""
        names = {*frame.f_code.co_names, *(text for text in frame.f_code.co_consts if isinstance(text, str))}
        got, outer = details[0] if details else None, frame.f_back
        foreign = got is not None and not self._owns(got.f_code.co_filename)
        outermost = outer is None or not self._owns(outer.f_code.co_filename)
        return bool(names & _VARIABLES) and (foreign or (bool(names & _WALKS) and outermost))

    def _about_path(self, path: str, writing: bool, did: str) -> tuple[str, str] | None:
        if path.startswith("/proc"):
            return _about_process(path, writing) or _about_settings(path, writing)
        if _belongs(path, [self._root]) and not _belongs(path, self._hidden_in_root):
            return None
        if not _belongs(path, self._hidden):
            if _belongs(path, self._writable) or path.startswith(_DEVICES):
                return None
            path = _real(path)  # resolved only here: in a deep folder it takes its time
        if _belongs(path, self._hidden) and (writing or not _belongs(path, self._readable)):
            return "files", f"it {'tried to write' if writing else did} {path}, which is the judge's"
        if writing and not _belongs(path, [*self._writable, self._root]):
            return "writes", f"it tried to write {path}"
        return None

    def _frame_of_submission(self, direct: bool) -> types.FrameType | None:
        """The innermost frame of the submission; with `direct`, only if it made the call itself."""
        frame: types.FrameType | None = sys._getframe(3)  # outside of this class and its hook
        while frame is not None:
            file = frame.f_code.co_filename
            if self._owns(file) and not _imports(frame):
                return frame
            if direct and os.path.basename(file) != "inspect.py":
                return None
            frame = frame.f_back
        return None

    def _owns(self, file: str) -> bool:
        owned = self._owned.get(file)
        if owned is None:
            real = _real(file)
            owned = _belongs(real, [self._root]) and not _belongs(real, self._readable) and "site-packages" not in real
            self._owned[file] = owned
        return owned

    def _place(self, frame: types.FrameType) -> str:
        return f"{os.path.relpath(_real(frame.f_code.co_filename), self._root)}:{frame.f_lineno}"

    def _note(self, kind: str, evidence: str, where: str) -> None:
        if len(self._seen) < _KEPT:
            notice = {"kind": kind, "evidence": evidence[:_TEXT_LIMIT], "where": where[:_TEXT_LIMIT]}
            self._seen.setdefault((kind, where or evidence), notice)


def _imports(frame: types.FrameType) -> bool:
    """Whether a frame is of Python's own import system, which compiles what it imports and has no cached code for."""
    own = importlib._bootstrap, importlib._bootstrap_external
    return frame.f_code.co_filename.startswith("<frozen ") and any(frame.f_globals is vars(module) for module in own)


def _relied_on(instances: Mapping[str, Any] = {}) -> IdentitySnapshot:
    """Functions of libraries, and all code and tables between the submission and the judge, as they are now."""
    modules = {name: module for name, module in list(sys.modules.items()) if name.startswith(_PACKAGE)}
    if os.path.dirname(getattr(sys.modules["__main__"], "__file__", None) or "") == _HERE:
        modules["__main__"] = sys.modules["__main__"]
    owners: dict[str, Any] = {}
    for name, module in modules.items():
        owners[name] = module
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__ == module.__name__:
                owners[f"{name}.{value.__name__}"] = value
    return IdentitySnapshot(owners, _of_libraries(), {_PACKAGE + name: value for name, value in instances.items()})


def _of_libraries() -> dict[str, Any]:
    """{dotted name: what stands there}, for what a patched clock or a lenient comparison would be set in place of."""
    return {f"{name}.{path}": _reached(module, path) for name, (module, paths) in _RELIED_ON.items() for path in paths}


def _reached(module: types.ModuleType, path: str) -> Any:
    try:
        return attrgetter(path)(module)
    except AttributeError:
        return None


def _about_process(path: str, writing: bool) -> tuple[str, str] | None:
    parts = path.split("/")[2:]
    own = {"self", "thread-self", str(os.getpid())}
    if parts[:1] and parts[0] in own:
        private = parts[1:2] in (["mem"], ["fd"])
        return ("processes", f"it opened {path}") if private else None
    if parts[1:2] and parts[1] in _PUBLIC and not writing:
        return None
    if parts[:1] and parts[0].isdigit() and not _descends_from_us(int(parts[0])):
        return "processes", f"it opened {path}, of another process"
    return None


def _about_settings(path: str, writing: bool) -> tuple[str, str] | None:
    """What /proc holds beside processes are settings of the machine."""
    of_a_process = path.split("/")[2:3] in (["self"], ["thread-self"]) or path.split("/")[2].isdigit()
    return ("writes", f"it tried to write {path}") if writing and not of_a_process else None


def _descends_from_us(process: int) -> bool:
    """Whether a process is a child of this one, or a child's child."""
    while process > 1:
        try:
            with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
                process = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return False
        if process == os.getpid():
            return True
    return False


def _is_gone(process: int) -> bool:
    """Whether there is no such process any more: of a child's child nobody hears when it ends."""
    return sys.platform == "linux" and process > 0 and not os.path.exists(f"/proc/{process}")


def _absolute(path: str) -> str:
    """As os.path.abspath, but in a folder that lies too deep for the system it fails at once instead of searching."""
    here = os.readlink("/proc/self/cwd") if sys.platform == "linux" and not os.path.isabs(path) else ""
    return os.path.abspath(os.path.join(here, path))


def _real(path: str) -> str:
    return os.path.realpath(path)


def _belongs(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip(os.sep) + os.sep) for folder in folders)
