"""The usage monitor: sees which ready-made code actually runs while an adapter or a driver is called.

It is a profile function (`sys.setprofile`), so it is told of every call that Python makes, in torch or anywhere else,
and takes part in none: results, tracebacks and `torch.compile` are as without it. (A `TorchFunctionMode` sees less,
as neither optimizers nor tokenizers go through it, and makes `torch.compile(fullgraph=True)` fail.) Whether an answer
came from what was seen, `probe.py` finds out.

Only what the submission itself calls counts. From the ready-made function the usage monitor follows the stack outwards,
past wrappers such as `nn.Module.__call__` and past what only calls what it was given, such as `tree_map`: the first
frame with a file of the submission is the place; when a driver or torch itself comes first, the call is theirs. A file
name counts only for code that belongs to the module of that file. Code that runs because a module is being imported is
no use of it, unless that happens in every call, or the answer comes from it.

A watched call takes a third to a half longer, so not all are watched: of each operation the first two calls, and one
in sixteen after that, by chance. Tokenizers and BPE training are watched only where a package of ready-made tokenizers
has been imported. What an adapter returns is looked at every time. Whoever ends the watch is named.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib._bootstrap
import importlib._bootstrap_external
import inspect
import os
import random
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch

from .construction_monitor import SETS_PROFILE
from .operation_table import OPERATIONS
from .ready_made import MODEL_PACKAGES, TOKENIZER_PACKAGES, TOKENIZER_PROBLEMS, canonical, is_piece, of_interest

_ALWAYS = 2
_THEN_ONE_IN = 16
_KEPT = 500
_KEPT_BESIDE = 40
_PLACES_EACH = 3
"""Uses kept of one call: of pieces of the assignment, of what is a piece of none, and places of one name."""

_TEXT_LIMIT = 200
_IN_THREAD = "a thread of the submission"

_HERE = os.path.dirname(os.path.realpath(__file__)) + os.sep
_TORCH = os.path.dirname(os.path.realpath(torch.__file__)) + os.sep

# Below torch/: where the functions live that the rule is about, and wrappers that only pass a call on.
_READY_MADE = (
    *("nn/", "optim/", "_refs/", "masked/", "ao/nn/", "_ops.py"),
    *("_decomp/", "_prims/", "_inductor/decomposition.py", "nested/"),
)
_WRAPPERS = (
    *("nn/modules/module.py", "nn/modules/container.py", "nn/parameter.py", "nn/init.py", "optim/optimizer.py"),
    *("nn/parallel/", "overrides.py", "_compile.py", "_dynamo/", "utils/_contextlib.py", "utils/checkpoint.py"),
    *("autograd/", "_jit_internal.py", "functional.py", "compiler/", "_prims_common/", "_decomp/__init__.py"),
)
_PACKAGES = TOKENIZER_PACKAGES | MODEL_PACKAGES
_NAMESPACES = {"": "torch.", "_C._nn": "torch.nn.functional.", "_C._special": "torch.", "_C._sparse": "torch."}
OPERATORS = frozenset(
    name
    for namespace, prefix in _NAMESPACES.items()
    for name in dir(attrgetter(namespace)(torch) if namespace else torch)
    if not name.startswith("__") and of_interest(prefix + name)
)
"""Names of C functions worth a second look; most are never called by anyone."""

_NO_USE = frozenset({"__setstate__", "__getstate__", "__deepcopy__", "__reduce_ex__", "__repr__"})
"""What runs when an object is copied, stored or shown: nobody's use of it."""

_NO_CALL = _NO_USE | {"<module>"}
"""And when a library is imported. Of the code around a call, `<module>` may as well be the student's `eval`."""


def _code_of_imports() -> Iterator[types.CodeType]:
    """The code of Python's import system, which has no files: anybody may name code `<frozen importlib>`."""
    for module in (importlib._bootstrap, importlib._bootstrap_external):
        for value in vars(module).values():
            functions = vars(value).values() if isinstance(value, type) else [value]
            for function in functions:
                code = getattr(getattr(function, "__func__", function), "__code__", None)
                if code is not None:
                    yield code


_IMPORTING = frozenset(_code_of_imports())

_BUILTIN = frozenset(kind for room in (builtins, types) for kind in vars(room).values() if isinstance(kind, type))


def _is_pythons_own(kind: type) -> bool:
    """Whether a class is Python's: a library may have it under a name of its own, as tokenizers has `str`."""
    package = str(kind.__module__).partition(".")[0]
    return kind in _BUILTIN or (package != "builtins" and package in sys.stdlib_module_names)


Use = dict[str, str]
"""One use of ready-made code: `name` (dotted), `where` (file:line) and `how`.

"ran", "returned" or "derived"; of what ran, once that is known, "answer" or "beside": whether the answer comes from it.
"""


@dataclass(frozen=True)
class Caller:
    """On whose behalf ready-made code runs.

    frame: of the submission (in a thread that does nothing else, of the ready-made code); where: `file:line`;
    inner: whether other ready-made code came in between; imported: whether a module is just being imported.
    """

    frame: types.FrameType
    where: str
    inner: bool
    imported: bool


class UsageMonitor:
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
        self._names: dict[str, str] = {}
        self._native: dict[type, str] = {}
        self._packages: dict[str, str] = {}
        self._seen: dict[tuple[str, str], Use] = {}
        self._answers: set[str] = set()
        self._imports: dict[tuple[str, str], int] = {}
        self._imported: set[tuple[str, str]] = set()
        self._watching = False
        self.also_tell: Callable[[types.FrameType, str, Any], None] | None = None
        """Told of each event of interest but calls of Python functions, while a call is watched; mostly nobody."""
        _hear_of_profilers(self)

    def take(self) -> list[Use]:
        """What was seen since the last time, and forget it."""
        seen, self._seen = list(self._seen.values()), {}
        self._imported.clear()
        return seen

    def is_due(self, operation: str, subject: Any = None) -> bool:
        """Whether the next call of an operation is to be watched.

        Args:
            subject: what the operation is about, where one driver serves several adapters.
        """
        self._look_for_packages()
        if not self._packages and OPERATIONS[operation].problem in TOKENIZER_PROBLEMS:
            return False
        if sys.getprofile() is not None:
            self.note_at("sys.setprofile", "?", "ran")
            return False
        key = (operation, subject, len(self._packages))
        count = self._calls[key] = self._calls.get(key, 0) + 1
        return count <= _ALWAYS or self._chance.random() * _THEN_ONE_IN < 1

    def is_first(self, operation: str, subject: Any = None) -> bool:
        """Whether the watched call is the first of its operation."""
        return self._calls.get((operation, subject, len(self._packages))) == 1

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the enclosed call, and for as long as they live the threads that it starts."""
        notice = self._notice_packages if self._packages else self._notice
        threading.setprofile(notice)
        sys.setprofile(notice)
        self._watching = True
        try:
            yield
        finally:
            self._watching = False
            ended = sys.getprofile() != notice or threading.getprofile() != notice
            sys.setprofile(None)
            threading.setprofile(None)
            if ended and not any(name == "sys.setprofile" for name, _ in self._seen):
                self.note_at("sys.setprofile", "?", "ran")

    def note_profiler(self) -> None:
        """Somebody sets another profile function, or none; not the kit's own that passes everything on."""
        if self._watching and not in_thread() and sys._getframe(2).f_code is not SETS_PROFILE:
            caller = self.caller_of(sys._getframe(2), "")
            self.note_at("sys.setprofile", caller.where if caller else "?", "ran")

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
            self._names.clear()
            kinds = [value for value in vars(module).values() if isinstance(value, type)]
            self._native |= {kind: name for kind in kinds if not _is_pythons_own(kind)}

    # ------------------------------------------------------------------------------------------------------------
    # While a call is watched

    def _notice(self, frame: types.FrameType, event: str, called: Any) -> None:
        if event == "call":
            file = frame.f_code.co_filename
            kind = self._kinds.get(file) or self._kind(file)
            if kind == "ready-made":
                self._python_call(frame)
        elif event == "c_call":
            if called.__name__ in OPERATORS:
                if self.also_tell is not None:
                    self.also_tell(frame, event, called)
                if self._kind_of(frame) != "ready-made" and (name := name_of(called)):
                    self.note(name, self.caller_of(frame, called.__name__))
        elif self.also_tell is not None and (event == "return" or called.__name__ in OPERATORS):
            self.also_tell(frame, event, called)

    def _notice_packages(self, frame: types.FrameType, event: str, called: Any) -> None:
        if event == "c_call" and (package := self._native.get(type(getattr(called, "__self__", None)))):
            name = f"{package}.{type(called.__self__).__name__}.{called.__name__}"
            self.note(name, self.caller_of(frame, called.__name__))
        self._notice(frame, event, called)

    def _python_call(self, frame: types.FrameType) -> None:
        """A function of a ready-made library begins."""
        if frame.f_code.co_name in _NO_CALL or not self.is_ready_made(frame):
            return
        caller = self.caller_of(frame.f_back, frame.f_code.co_name) or self._thread_of(frame)
        if caller is not None and not caller.inner and (name := self._name_of_frame(frame)):
            self.note(name, caller, frame.f_locals.get("self"))

    def caller_of(self, frame: types.FrameType | None, name: str) -> Caller | None:
        """On whose behalf `frame` runs what is called `name`; None when it is not the submission's doing."""
        inner, outermost = False, frame
        while frame is not None:
            kind = self._kind_of(frame)
            if kind == "submission":
                where = self._place(frame.f_code.co_filename, frame.f_lineno)
                return Caller(frame, where, inner, self._is_importing(frame))
            if kind in ("worker", "import") or frame.f_code.co_name in _NO_USE:
                return None
            if kind == "ready-made" and not self._is_wrapper(frame):
                inner, name = True, frame.f_code.co_name
            elif kind == "torch" and name in frame.f_code.co_names:
                return None  # torch's own call; whoever only calls what it was given does not name it
            frame, outermost = frame.f_back, frame
        return self._thread_of(outermost, inner)

    def _thread_of(self, frame: types.FrameType | None, inner: bool = False) -> Caller | None:
        """In a thread that does nothing else: only the submission starts threads."""
        return Caller(frame, _IN_THREAD, inner, False) if frame is not None and in_thread() else None

    def _is_importing(self, frame: types.FrameType) -> bool:
        outer: types.FrameType | None = frame
        while outer is not None and self._kind_of(outer) != "worker":
            if outer.f_code in _IMPORTING:
                return True
            outer = outer.f_back
        return False

    def is_ready_made(self, frame: types.FrameType) -> bool:
        """Whether a frame is of a function that may be ready-made, and not only passes a call on."""
        return self._kind_of(frame) == "ready-made" and not self._is_wrapper(frame)

    def is_of_torch(self, frame: types.FrameType) -> bool:
        """Whether a frame is of PyTorch's own code, rather than of another library's."""
        return self._module_of(frame.f_code.co_filename).startswith("torch.")

    def _is_wrapper(self, frame: types.FrameType) -> bool:
        kind = self._kind(frame.f_code.co_filename)
        return kind == "wrapper" or (kind == "ready-made" and "<locals>" in frame.f_code.co_qualname)

    def _kind_of(self, frame: types.FrameType) -> str:
        """As `_kind`, of code that belongs where its file name says."""
        kind = self._kind(frame.f_code.co_filename)
        if kind == "import":
            return kind if frame.f_code in _IMPORTING else "other"
        if kind in ("submission", "other"):
            return kind
        name = frame.f_globals.get("__name__") if kind == "worker" else self._module_of(frame.f_code.co_filename)
        module = sys.modules.get(str(name))
        return kind if getattr(module, "__dict__", None) is frame.f_globals else "other"

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
                for kind in type(value).__mro__:
                    package = self._native.get(kind) or str(kind.__module__).partition(".")[0]
                    if package in TOKENIZER_PACKAGES and package in self._packages.values():
                        self.note_at(f"{package}.{kind.__name__}", self._place_of(adapter), "returned")
                        break

    def _inspect_class(self, adapter: Any, kind: type) -> None:
        for base in kind.__mro__:
            name = _name_of_class(base)
            if name is not None and of_interest(name):
                own = kind is base
                self.note_at(name, self._place_of(adapter if own else kind), "returned" if own else "derived")
                return

    def _place_of(self, thing: Any) -> str:
        """`file:line` where a function or class is defined; the adapter's own file when that cannot be known."""
        try:
            file = inspect.getsourcefile(thing)
            return self._place(file or "?", inspect.getsourcelines(thing)[1])
        except (OSError, TypeError):
            return "?"

    # ------------------------------------------------------------------------------------------------------------

    def note(self, name: str, caller: Caller | None, owner: Any = None) -> None:
        """Something of interest runs; `owner` is the object whose method it is."""
        if caller is None or caller.inner or not of_interest(name):
            return
        if isinstance(owner, torch.nn.Module) and (kind := self._own_class(type(owner))) and not caller.imported:
            self.note_at(name, self._place_of(kind), "derived")
        elif caller.imported:
            self._imported.add((name, caller.where))
            times = self._imports[name, caller.where] = self._imports.get((name, caller.where), 0) + 1
            if times > 1:  # modules are imported once
                self.note_at(name, caller.where, "ran")
        else:
            self.note_at(name, caller.where, "ran")

    def _own_class(self, kind: type) -> type | None:
        """The class itself when it is the submission's: the use is then its base class."""
        file = getattr(sys.modules.get(kind.__module__), "__file__", None)
        return kind if isinstance(file, str) and self._kind(file) == "submission" else None

    def note_at(self, name: str, where: str, how: str) -> None:
        """Keep a use, unless enough of its like are kept already."""
        if (name, where) in self._seen:
            return
        piece = is_piece(name)
        places = sum(name == other for other, _ in self._seen)
        alike = sum(is_piece(other) is piece for other, _ in self._seen)
        if places < _PLACES_EACH and alike < (_KEPT if piece else _KEPT_BESIDE):
            how = "answer" if how == "ran" and where in self._answers else how
            self._seen[name, where] = {"name": name[:_TEXT_LIMIT], "where": where, "how": how}

    def open_questions(self) -> list[str]:
        """The places where a piece of the assignment ran, and it is not known whether the answer came from it."""
        ran = [where for (name, where), use in self._seen.items() if use["how"] == "ran" and is_piece(name)]
        return list(dict.fromkeys([*ran, *(where for _, where in self._imported)]))

    def settle(self, where: str, is_answer: bool) -> None:
        """What ran at a place gave the answer, or ran beside it."""
        if is_answer:
            self._answers.add(where)
            for name, _ in [key for key in self._imported if key[1] == where]:
                self.note_at(name, where, "answer")
        for (_, place), use in self._seen.items():
            if place == where and use["how"] == "ran":
                use["how"] = "answer" if is_answer else "beside"

    def _place(self, file: str, line: int) -> str:
        if self._kind(file) != "submission":
            return _IN_THREAD
        name = os.path.realpath(file).removeprefix(self._root)
        if not name.isprintable():
            name = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)
        if len(name) > _TEXT_LIMIT - 20:
            name = f"{name[: _TEXT_LIMIT // 2]}...{name[50 - _TEXT_LIMIT // 2 :]}"
        return f"{name}:{line}"

    def _name_of_frame(self, frame: types.FrameType) -> str | None:
        """The dotted name of a Python function of a ready-made library that begins to run."""
        module = self._module_of(frame.f_code.co_filename)
        name = frame.f_code.co_qualname.removesuffix(".__init__")
        if module == "torch._ops":
            operator = frame.f_locals.get("self") if frame.f_code.co_name == "__call__" else None
            return canonical(f"torch.ops.{operator}") if operator is not None else None
        owner = frame.f_locals.get("self")
        if isinstance(owner, (torch.nn.Module, torch.optim.Optimizer)):
            for base in type(owner).__mro__:
                if dotted := _name_of_class(base):
                    return dotted
        return canonical(f"{module}.{name}")

    def _module_of(self, file: str) -> str:
        """The dotted name of a library's file; what a module says of itself can be changed."""
        name = self._names.get(file)
        if name is None:
            real, name = os.path.realpath(file), "?"
            for folder, package in ((_TORCH, "torch"), *self._packages.items()):
                if real.startswith(folder):
                    below = real.removeprefix(folder).removesuffix(".py").replace(os.sep, ".")
                    name = f"{package}.{below}".removesuffix(".__init__")
            self._names[file] = name
        return name


def in_thread() -> bool:
    return threading.current_thread() is not threading.main_thread()


def _hear_of_profilers(monitor: UsageMonitor) -> None:
    """Have a monitor told when a profile function is set, by whatever way (PEP 578)."""
    known = weakref.ref(monitor)

    def hear(event: str, _: tuple[Any, ...]) -> None:
        if event == "sys.setprofile" and (listener := known()) is not None:
            listener.note_profiler()

    sys.addaudithook(hear)


def name_of(function: Any) -> str | None:
    """The dotted name of a function of torch that is written in C, or an operator; None for one of something else."""
    if isinstance(function, (torch._ops.OpOverload, torch._ops.OpOverloadPacket)):
        return canonical(f"torch.ops.{function}")
    name, owner = function.__name__, getattr(function, "__self__", None)
    if isinstance(owner, torch.Tensor) or getattr(function, "__objclass__", None) is torch._C.TensorBase:
        return canonical(f"torch.Tensor.{name}")
    if isinstance(owner, types.ModuleType) and owner.__name__.startswith("torch._C"):
        return canonical(f"{owner.__name__}.{name}")
    if getattr(torch, name, None) is function:
        return f"torch.{name}"
    module = str(getattr(function, "__module__", ""))
    return canonical(f"{module}.{name}") if module.startswith("torch.") else None


def _name_of_class(kind: type) -> str | None:
    """`torch.nn.Linear` for that class; None for one that torch does not define."""
    module = kind.__module__
    if not isinstance(module, str) or not module.startswith(("torch.nn.", "torch.optim.", "torch.ao.nn.")):
        return None
    return canonical(f"{module}.{kind.__name__}")
