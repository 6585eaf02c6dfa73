"""The witness: sees which ready-made code actually runs while an adapter or a driver is called.

It is a profile function (`sys.setprofile`), so it is told of every call that Python makes, in torch or anywhere else,
and takes part in none: results, tracebacks and `torch.compile` are as without it. (A `TorchFunctionMode` sees less,
as neither optimizers nor tokenizers go through it, and makes `torch.compile(fullgraph=True)` fail.)

Only what the submission itself calls counts. From the ready-made function the witness follows the stack outwards,
past wrappers such as `nn.Module.__call__`: the first frame with a file of the submission is the place; when a driver
or torch itself comes first, the call is theirs. Code that runs because a module is being imported is no use of it.

A watched call takes a third to a half longer, so not all are watched: of each operation the first two calls, and one
in sixteen after that, by chance. Tokenizers and BPE training are watched only where a package of ready-made tokenizers
has been imported. What an adapter returns is looked at every time.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import random
import sys
import threading
import types
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import torch

from .from_scratch import MODEL_PACKAGES, TOKENIZER_PACKAGES, canonical, of_interest

_ALWAYS = 2
_THEN_ONE_IN = 16
_KEPT = 20

_HERE = os.path.dirname(os.path.realpath(__file__)) + os.sep
_TORCH = os.path.dirname(os.path.realpath(torch.__file__)) + os.sep

# Below torch/: where the functions live that the rule is about, and wrappers that only pass a call on.
_READY_MADE = ("nn/", "optim/", "_refs/", "masked/", "ao/nn/", "_ops.py")
_WRAPPERS = (
    *("nn/modules/module.py", "nn/modules/container.py", "nn/parameter.py", "nn/init.py", "optim/optimizer.py"),
    *("nn/parallel/", "overrides.py", "_compile.py", "_dynamo/", "utils/_contextlib.py", "utils/checkpoint.py"),
    *("autograd/", "_jit_internal.py", "functional.py", "compiler/"),
)
_PACKAGES = TOKENIZER_PACKAGES | MODEL_PACKAGES
_NAMESPACES = {"": "torch.", "_C._nn": "torch.nn.functional.", "_C._special": "torch.", "_C._sparse": "torch."}
_OPERATORS = frozenset(
    name
    for namespace, prefix in _NAMESPACES.items()
    for name in dir(attrgetter(namespace)(torch) if namespace else torch)
    if not name.startswith("__") and of_interest(prefix + name)
)
"""Names of C functions worth a second look; most are never called by anyone."""

_NO_USE = frozenset({"<module>", "__setstate__", "__getstate__", "__deepcopy__", "__reduce_ex__", "__repr__"})
"""What runs when a library is imported, or an object is copied, stored or shown: nobody's use of it."""

Use = dict[str, str]
"""One use of ready-made code: `name` (dotted), `where` (file:line), `how` ("ran", "returned" or "derived")."""


class Witness:
    """Watches calls of one submission.

    Args:
        root: the submission's folder.
    """

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root) + os.sep
        self._calls: dict[Any, int] = {}
        self._chance = random.Random(os.urandom(8))
        self._modules = 0
        self._kinds: dict[str, str] = {}
        self._native: dict[type, str] = {}
        self._packages: dict[str, str] = {}
        self._seen: dict[tuple[str, str], Use] = {}

    def take(self) -> list[Use]:
        """What was seen since the last time, and forget it."""
        seen, self._seen = list(self._seen.values()), {}
        return seen

    def is_due(self, operation: str, subject: Any = None) -> bool:
        """Whether the next call of an operation is to be watched.

        Args:
            subject: what the operation is about, where one driver serves several adapters.
        """
        self._look_for_packages()
        if not self._packages and ("tokenizer" in operation or "train_bpe" in operation):
            return False
        key = (operation, subject, len(self._packages))
        count = self._calls[key] = self._calls.get(key, 0) + 1
        return (count <= _ALWAYS or self._chance.random() * _THEN_ONE_IN < 1) and sys.getprofile() is None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the enclosed call, and for as long as they live the threads that it starts."""
        notice = self._notice_packages if self._packages else self._notice
        threading.setprofile(notice)
        sys.setprofile(notice)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _look_for_packages(self) -> None:
        """Learn the folders and the compiled types of ready-made libraries that have been imported meanwhile."""
        if len(sys.modules) == self._modules:
            return
        self._modules = len(sys.modules)
        for name in _PACKAGES:
            if name not in sys.modules or name in self._packages.values():
                continue
            module = sys.modules[name]
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or self._kind(file) == "submission":
                continue  # the submission's own module may be called minbpe
            self._packages[os.path.dirname(os.path.realpath(file)) + os.sep] = name
            self._kinds.clear()
            self._native |= {value: name for value in vars(module).values() if isinstance(value, type)}

    # ------------------------------------------------------------------------------------------------------------
    # While a call is watched

    def _notice(self, frame: types.FrameType, event: str, called: Any) -> None:
        if event == "call":
            file = frame.f_code.co_filename
            kind = self._kinds.get(file) or self._kind(file)
            if kind == "ready-made":
                self._python_call(frame)
        elif event == "c_call" and called.__name__ in _OPERATORS:
            file = frame.f_code.co_filename
            kind = self._kinds.get(file) or self._kind(file)
            if (kind == "submission" or (kind == "other" and _in_thread())) and (name := _name_of_native(called)):
                self._note(name, frame, "ran")

    def _notice_packages(self, frame: types.FrameType, event: str, called: Any) -> None:
        if event == "c_call" and (package := self._native.get(type(getattr(called, "__self__", None)))):
            self._python_call(frame, f"{package}.{type(called.__self__).__name__}.{called.__name__}")
        self._notice(frame, event, called)

    def _python_call(self, frame: types.FrameType, native: str = "") -> None:
        """A function of a ready-made library begins, or (`native`) is called from `frame`: whose call is it?"""
        caller: types.FrameType | None = frame if native else frame.f_back
        if not native and (frame.f_code.co_name in _NO_USE or self._is_wrapper(frame)):
            return
        while caller is not None:
            kind = self._kind(caller.f_code.co_filename)
            if kind == "submission":
                if name := native or _name_of_frame(frame):
                    self._note(name, caller, "ran", frame)
                return
            if kind in ("ready-made", "worker", "torch") and not self._is_wrapper(caller):
                return  # an inner call, reported when the outer one began; or the driver's own
            if kind == "import" or caller.f_code.co_name in _NO_USE:
                return
            caller = caller.f_back
        if _in_thread() and (name := native or _name_of_frame(frame)):
            self._note(name, frame, "ran")  # a thread that does nothing else: only the submission starts threads

    def _is_wrapper(self, frame: types.FrameType) -> bool:
        kind = self._kind(frame.f_code.co_filename)
        return kind == "wrapper" or (kind == "ready-made" and "<locals>" in frame.f_code.co_qualname)

    def _kind(self, file: str) -> str:
        """What a source file is: of the submission, the worker, torch (and which part of it), or neither."""
        kind = self._kinds.get(file)
        if kind is None:
            kind = self._kinds[file] = self._classify(file)
        return kind

    def _classify(self, file: str) -> str:
        if file.startswith("<frozen importlib"):
            return "import"
        real = os.path.realpath(file)
        if real.startswith(_TORCH):
            below = real[len(_TORCH) :].replace(os.sep, "/")
            if below.startswith(_WRAPPERS):
                return "wrapper"
            return "ready-made" if below.startswith(_READY_MADE) else "torch"
        if real.startswith(tuple(self._packages)):
            return "ready-made"
        if real.startswith(_HERE):
            return "worker"
        if real.startswith(self._root) and f"{os.sep}site-packages{os.sep}" not in real:
            return "submission"
        return "other"

    # ------------------------------------------------------------------------------------------------------------
    # What an adapter returned

    def inspect(self, adapter: Any, result: Any) -> None:
        """Look at an adapter's result: an optimizer class, a module, a tokenizer, or something that holds one."""
        if type(result) is torch.Tensor:
            return
        self._look_for_packages()
        if isinstance(result, type):
            self._inspect_class(adapter, result)
        elif isinstance(result, torch.nn.Module):
            for module in result.modules():
                self._inspect_class(adapter, type(module))
        else:
            attributes = getattr(result, "__dict__", None)
            for value in (result, *(attributes.values() if type(attributes) is dict else ())):
                package = type(value).__module__.partition(".")[0]
                package = package if package in TOKENIZER_PACKAGES else self._native.get(type(value), "")
                if package in TOKENIZER_PACKAGES and package in self._packages.values():
                    self._note_at(f"{package}.{type(value).__name__}", self._place_of(adapter), "returned")

    def _inspect_class(self, adapter: Any, kind: type) -> None:
        for base in kind.__mro__:
            name = _name_of_class(base)
            if name is not None and of_interest(name):
                own = kind is base
                self._note_at(name, self._place_of(adapter if own else kind), "returned" if own else "derived")
                return

    def _place_of(self, thing: Any) -> str:
        """`file:line` where a function or class is defined; the adapter's own file when that cannot be known."""
        try:
            file = inspect.getsourcefile(thing)
            return self._place(file or "?", inspect.getsourcelines(thing)[1])
        except (OSError, TypeError):
            return "?"

    # ------------------------------------------------------------------------------------------------------------

    def _note(self, name: str, caller: types.FrameType, how: str, callee: types.FrameType | None = None) -> None:
        if not of_interest(name):
            return
        where = self._place(caller.f_code.co_filename, caller.f_lineno)
        module = callee.f_locals.get("self") if callee is not None else None
        if isinstance(module, torch.nn.Module) and (kind := self._own_class(type(module))):
            where, how = self._place_of(kind), "derived"
        self._note_at(name, where, how)

    def _own_class(self, kind: type) -> type | None:
        """The class itself when it is the submission's: the use is then its base class."""
        file = getattr(sys.modules.get(kind.__module__), "__file__", None)
        return kind if isinstance(file, str) and self._kind(file) == "submission" else None

    def _note_at(self, name: str, where: str, how: str) -> None:
        if len(self._seen) < _KEPT:
            self._seen.setdefault((name, where), {"name": name, "where": where, "how": how})

    def _place(self, file: str, line: int) -> str:
        if self._kind(file) != "submission":
            return "a thread of the submission"
        real = os.path.realpath(file)
        return f"{real.removeprefix(self._root)}:{line}"


def _in_thread() -> bool:
    return threading.current_thread() is not threading.main_thread()


def _name_of_native(function: Any) -> str | None:
    """The dotted name of a C function of torch; None for one of something else."""
    name, owner = function.__name__, function.__self__
    if isinstance(owner, torch.Tensor):
        return canonical(f"torch.Tensor.{name}")
    if isinstance(owner, types.ModuleType) and owner.__name__.startswith("torch._C"):
        return canonical(f"{owner.__name__}.{name}")
    return f"torch.{name}" if getattr(torch, name, None) is function else None


def _name_of_frame(frame: types.FrameType) -> str | None:
    """The dotted name of a Python function of a ready-made library that begins to run."""
    module = str(frame.f_globals.get("__name__", ""))
    name = frame.f_code.co_qualname.removesuffix(".__init__")
    if module == "torch._ops":
        operator = frame.f_locals.get("self")
        return canonical(f"torch.ops.{operator}") if operator is not None else None
    owner = frame.f_locals.get("self")
    if isinstance(owner, (torch.nn.Module, torch.optim.Optimizer)):
        for base in type(owner).__mro__:
            if dotted := _name_of_class(base):
                return dotted
    return canonical(f"{module}.{name}")


def _name_of_class(kind: type) -> str | None:
    """`torch.nn.Linear` for that class; None for one that torch does not define."""
    module = kind.__module__
    if not isinstance(module, str) or not module.startswith(("torch.nn.", "torch.optim.", "torch.ao.nn.")):
        return None
    return canonical(f"{module}.{kind.__name__}")
