"""What the grader's processes import, in two thirds of the time: most of what they take to start is importing PyTorch.

The garbage collector goes through all that is imported, again and again, for nothing: a sixth of that time. And a fifth
goes into `torch._meta_registrations`: what operators do with tensors that have no values, on the device "meta", for
PyTorch's compiler above all. Hardly any submission needs it, so it is run when something is imported, or stands in a
submission's text, that may.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.abc
import importlib.machinery
import os
import re
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

_MODULE = "torch._meta_registrations"
_NEEDED_BY = re.compile(
    rb"""['"]meta\b|\bis_meta\b|[Ff]ake_?(?:[Tt]ensor|[Mm]ode)|['"](?:fake|symbolic)['"]|skip_init"""
)
"""What stands in code that makes tensors without values. What it catches besides costs a quarter of a second."""
_HARMLESS = frozenset(
    {"numpy", "regex", "einops", "jaxtyping", "tiktoken", "tqdm", "triton", "typing_extensions", "wandb", "sympy"}
)
"""Packages that make no such tensors."""
_NO_CODE = frozenset({"__pycache__", "site-packages"})
_MOST_FILES, _MOST_BYTES = 300, 4 << 20


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Import in the enclosed lines; no later collection goes through what they have made, either."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Postponed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Keeps the module from being run while torch is imported, and runs it before anything that may need it.

    That is any other part of torch that is imported after the grader's own imports, or a package of which nothing is
    known. `begin` before torch is imported; `watch` when the grader's own imports are done.
    """

    _current: ClassVar[Postponed | None] = None

    def __init__(self) -> None:
        self._loader: importlib.abc.Loader | None = None
        self._module: types.ModuleType | None = None
        self._root: str | None = None

    @classmethod
    def begin(cls) -> None:
        """Postpone the module from now on, unless torch has been imported already."""
        if "torch" not in sys.modules:
            cls._current = cls()
            sys.meta_path.insert(0, cls._current)

    @classmethod
    def watch(cls, root: str) -> None:
        """The grader's own imports are done. What is below `root` is a submission, whose text says what it needs."""
        if (current := cls._current) is not None:
            current._root = os.path.realpath(root) + os.sep
            if _may_need_it(Path(root)):
                current._run()

    @classmethod
    def run(cls) -> None:
        """Run the module now, if that was postponed."""
        if cls._current is not None:
            cls._current._run()

    @classmethod
    def is_pending(cls) -> bool:
        """Whether the module is still to be run."""
        return cls._current is not None

    def _run(self) -> None:
        """Run the module, if there is one."""
        sys.meta_path.remove(self)
        type(self)._current = None
        if self._loader is not None and self._module is not None:
            self._loader.exec_module(self._module)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Take the module over while torch is imported; later, see whether an import asks for it."""
        if name == _MODULE and self._module is None:
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            if spec is not None:
                self._loader, spec.loader = spec.loader, self
            return spec
        if self._root is not None and self._asks_for_it(name):
            self._run()
        return None

    def _asks_for_it(self, name: str) -> bool:
        package = name.partition(".")[0]
        if package == "torch":
            return True
        if name != package or package in _HARMLESS or package in sys.stdlib_module_names:
            return False
        spec = importlib.machinery.PathFinder.find_spec(name)
        if spec is None:
            return False
        place = spec.origin or next(iter(spec.submodule_search_locations or ()), "")
        return not f"{os.path.realpath(place)}{os.sep}".startswith(self._root or "")

    def exec_module(self, module: types.ModuleType) -> None:
        """Only keep the module."""
        self._module = module


def _may_need_it(root: Path) -> bool:
    """Whether a submission's Python files have a word that stands for tensors without values, or are too many."""
    files, left = 0, _MOST_BYTES
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _NO_CODE]
        for name in names:
            path = Path(folder, name)
            if not name.endswith(".py") or not path.is_file():
                continue
            with contextlib.suppress(OSError), path.open("rb") as file:
                text = file.read(left)
                files, left = files + 1, left - len(text)
                if files > _MOST_FILES or left <= 0 or _NEEDED_BY.search(text):
                    return True
    return False
