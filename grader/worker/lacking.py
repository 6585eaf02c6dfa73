"""What a submission needs and this machine lacks: packages, names of another version of one, and a newer Python.

None of it says anything about the submission's code, so none of it may cost points: a test that needs such a thing is
not assessed. The worker says what it met, and the judge makes sure of it. It looks up packages and Pythons with the
same functions (`lacks`, `python_needed`); names of a package it looks up with `look_up`, in a process that has loaded
no submission (`grader/wall/other_versions.py`).

`Placeholders` keeps one missing package or name from taking everything else with it. It stands in for it in the
submission's own import statements, at module level, after the plain import has failed; whatever uses one while a test
runs raises `MissingPackage` or `MissingName`.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import importlib.metadata
import inspect
import os
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loader import Layout

Version = tuple[int, int]
"""As in `sys.version_info[:2]`."""

_SEARCH_DEPTH = 3
_MOST_ENTRIES = 5000
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
_LONGEST_SAYING = 1000
_IMPORT_FROM = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
GIVEN_UP = re.compile(r"\b(?:removed|renamed|moved|expired|deprecated alias)\b")
"""What packages say of a name that an earlier version had."""
_NOT_SEARCHED = (".", "__pycache__", "site-packages", "node_modules")


class MissingPackage(ModuleNotFoundError):
    """Code used a package that is not installed here."""

    def __init__(self, package: str) -> None:
        super().__init__(f"No module named {package!r}", name=package)


class MissingName(ImportError):
    """Code used a name that an installed package does not have. Says so in Python's own words: see `missing_name`."""

    def __init__(self, subject: str) -> None:
        module, _, name = subject.partition(":")
        super().__init__(f"cannot import name {name!r} from {module!r}" if name else f"cannot import {module!r}")
        self.subject = subject


def missing_package(error: BaseException, layout: Layout, path: Sequence[str]) -> str | None:
    """The package whose absence an exception is about, if it is really absent; else None."""
    if not isinstance(error, ModuleNotFoundError) or not isinstance(error.name, str):
        return None
    package = error.name.partition(".")[0]
    return package if lacks(package, layout, path) else None


def lacks(package: str, layout: Layout, path: Sequence[str]) -> bool:
    """Whether a package cannot be imported from `path`, and is none of Python's or of the submission's own.

    A submission decides which packages it asks for, so one that asks for a package that exists nowhere escapes the
    tests that would fail. It gains no point by that: their points leave the total, and the report names the package
    and the problems, for a person to see.
    """
    return _may_be_installed(package, layout) and PathFinder.find_spec(package, list(path)) is None


def is_installed(package: str, layout: Layout, path: Sequence[str]) -> bool:
    """Whether a package can be imported from `path`, and is none of Python's or of the submission's own."""
    return _may_be_installed(package, layout) and PathFinder.find_spec(package, list(path)) is not None


def _may_be_installed(package: str, layout: Layout) -> bool:
    """Whether a name can mean somebody else's package."""
    return (
        package.isidentifier()
        and package not in sys.stdlib_module_names
        and package not in _NAMES
        and package.casefold() not in _own_names(layout)
    )


def _own_names(layout: Layout) -> frozenset[str]:
    """Names, in small letters, that mean the submission's own code, even if that lies elsewhere."""
    named = (re.sub(r"[-_.]+", "_", name) for name in layout.distributions)
    return frozenset(name.casefold() for name in (*named, *_modules_below(Path(layout.root))))


def _modules_below(root: Path) -> Iterator[str]:
    """Names that a submission's files, and folders with such files, have as modules, down to a few levels."""
    seen = 0
    for folder, folders, files in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = [name for name in folders if depth < _SEARCH_DEPTH and not name.startswith(_NOT_SEARCHED)]
        seen += len(folders) + len(files)
        if seen > _MOST_ENTRIES:
            return
        modules = [name.removesuffix(".py") for name in files if name.endswith(".py")]
        yield from modules
        if modules and depth:
            yield Path(folder).name


# ------------------------------------------------------------------------------------------------------------
# Names that another version of a package has


def missing_name(error: BaseException, root: str) -> str | None:
    """What an exception says that an installed package lacks: "module:name", or "module:" where all of it fails.

    That is a name that an import statement asks for, a module within a package, a name that a module asks for while
    it is imported, and, whenever it is asked for, one that the package says it has given up. Whether it is so, and why,
    is for the judge to find out.
    """
    if isinstance(error, MissingName):
        return error.subject
    if package := _fails_by_itself(error, root):
        return f"{package}:"
    module = name = ""
    if isinstance(error, ModuleNotFoundError):
        module, _, name = (error.name or "").rpartition(".")
    elif isinstance(error, ImportError) and (match := _IMPORT_FROM.search(str(error))):
        name, module = match[1], match[2]
    elif isinstance(error, AttributeError) and (_place_of(error, root) or GIVEN_UP.search(str(error))):
        module, name = _attribute(error)
    return f"{module}:{name}" if module and name else None


def _attribute(error: AttributeError) -> tuple[str, str]:
    """The module that was asked for an attribute, and the attribute; "" and "" where it was no module.

    Python says so itself, unless the module has a function `__getattr__` that raised the error.
    """
    if isinstance(error.obj, types.ModuleType):
        return error.obj.__name__, error.name or ""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_name != "__getattr__":
        return "", ""
    frame = trace.tb_frame
    name = frame.f_locals.get(frame.f_code.co_varnames[0])
    return (str(frame.f_globals.get("__name__", "")), name) if isinstance(name, str) else ("", "")


def _fails_by_itself(error: BaseException, root: str) -> str | None:
    """The package whose own modules raised this while they were imported; None where the submission did."""
    frame: types.FrameType | None = None
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if _is_below(file, root):
            frame = None
        elif frame is None and not file.startswith("<frozen importlib") and file != __file__:
            frame = trace.tb_frame
        trace = trace.tb_next
    if frame is None or frame.f_code.co_name != "<module>":
        return None
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] or None


def look_up(module: str, name: str, path: Sequence[str]) -> dict[str, str]:
    """What there is to know of a name of an installed package, in a process that has loaded no submission.

    Gives the package's distribution and its version ("" where it has none), and what importing the module and asking
    it for the name raised, in the package's own words ("" where nothing did).
    """
    sys.path[:] = path
    distribution, version = _distribution_of(module.partition(".")[0])
    raised = ""
    try:
        found = importlib.import_module(module)
        if name and not _is_module(f"{module}.{name}"):
            getattr(found, name)
    except Exception as error:  # whatever a package of another version raises
        raised = f"{type(error).__name__}: {error}"[:_LONGEST_SAYING]
    return {"distribution": distribution, "version": version, "raised": raised}


def _distribution_of(package: str) -> tuple[str, str]:
    for find in (lambda: package, lambda: importlib.metadata.packages_distributions()[package][0]):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError, KeyError):
            return find(), importlib.metadata.version(find())
    return package, ""


def _is_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------------
# Placeholders


class Placeholders:
    """Provides placeholders for what is missing to one submission's import statements.

    It takes the place of `builtins.__import__` and leaves `sys.modules` alone: einops and jaxtyping look there for
    the frameworks that a program uses, and must not find one that is not installed. An import within `try` stays as it
    is, since such code has another way; so do imports within functions, which fail when a test calls them.
    """

    def __init__(self, layout: Layout, path: Sequence[str]) -> None:
        self._layout, self._path = layout, path
        self._places: set[tuple[str, int]] = set()
        self._guarded: dict[str, list[range]] = {}
        self._own: frozenset[str] = frozenset()
        self._import = builtins.__import__
        self.packages: list[str] = []
        """Those that are missing."""
        self.names: list[str] = []
        """What installed packages lack, as `missing_name` gives it."""

    def provide(self, error: BaseException) -> bool:
        """Have the import that failed with this error succeed when it is tried again; False where nothing can be done.

        That is so when it did not fail for a missing package or name, or not in an import statement at module level, or
        again in spite of the placeholder.
        """
        place = _place_of(error, self._layout.root)
        if place is None or place in self._places or isinstance(error, (MissingPackage, MissingName)):
            return False
        if package := missing_package(error, self._layout, self._path):
            self.packages = list(dict.fromkeys([*self.packages, package]))
        elif isinstance(error, AttributeError) and not _fails_by_itself(error, self._layout.root):
            return False  # not in an import statement
        elif (name := missing_name(error, self._layout.root)) and is_installed(
            re.split("[.:]", name)[0], self._layout, self._path
        ):
            self.names = list(dict.fromkeys([*self.names, name]))
        else:
            return False
        self._places.add(place)
        self._own = _own_names(self._layout)
        builtins.__import__ = self._import_or_stand_in
        return True

    def as_plain(self) -> dict[str, Any]:
        """What another process needs to go on with the same placeholders (`resume`)."""
        layout = {"root": self._layout.root, "distributions": list(self._layout.distributions)}
        missing = {"packages": self.packages, "names": self.names}
        return {"layout": layout, "path": list(self._path), **missing, "places": list(self._places)}

    @classmethod
    def in_use(cls) -> Placeholders | None:
        """Those of this process, if it has any."""
        owner = getattr(builtins.__import__, "__self__", None)
        return owner if isinstance(owner, cls) else None

    @classmethod
    def resume(cls, fields: dict[str, Any]) -> None:
        """Provide in this process what another one provides."""
        here = cls(types.SimpleNamespace(**fields["layout"]), fields["path"])  # type: ignore[arg-type]
        here.packages, here.names = fields["packages"], fields["names"]
        here._places = {(file, line) for file, line in fields["places"]}
        here._own = _own_names(here._layout)
        builtins.__import__ = here._import_or_stand_in

    def _import_or_stand_in(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        frame = sys._getframe(1)
        try:
            found = self._import(name, globals, locals, fromlist or (), level)
        except Exception as error:
            missing = self._missing(error, name, bool(fromlist))
            if not missing or level or "*" in (fromlist or ()) or not self._stands_in(frame, name):
                raise
            return Placeholder(name if fromlist else name.partition(".")[0], missing)
        asked = () if level else fromlist or ()
        if all(f"{name}:{one}" not in self.names for one in asked) or not self._stands_in(frame, name):
            return found
        # An import statement takes from this what it would take from the module.
        had = {one: getattr(found, one) for one in asked if hasattr(found, one)}
        return types.SimpleNamespace(**{one: Placeholder(one, f"{name}:{one}") for one in asked} | had)

    def _missing(self, error: Exception, module: str, binds_it: bool) -> str | None:
        """What a failed import is known to lack, as a `Placeholder` takes it; `binds_it`: rather than its package."""
        package = module.partition(".")[0]
        if isinstance(error, (MissingPackage, MissingName)):
            return None
        if isinstance(error, ModuleNotFoundError) and error.name:
            within, _, name = error.name.rpartition(".")
            if error.name.partition(".")[0] in self.packages:
                return error.name.partition(".")[0]
            if f"{within}:{name}" in self.names and binds_it:
                return f"{within}:{name}"
        return f"{package}:" if f"{package}:" in self.names else None

    def _stands_in(self, frame: types.FrameType, module: str) -> bool:
        """Whether an import statement is one that a placeholder may help: see the class."""
        file, line = frame.f_code.co_filename, frame.f_lineno
        is_own = module.partition(".")[0].casefold() in self._own
        if is_own or _is_function(frame) or not _is_below(file, self._layout.root):
            return False
        return (file, line) in self._places or not any(line in lines for lines in self._guards(file))

    def _guards(self, file: str) -> list[range]:
        """The lines of a file that lie within a `try` that catches something."""
        if file not in self._guarded:
            try:
                nodes = list(ast.walk(ast.parse(Path(file).read_bytes())))
            except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
                nodes = []
            self._guarded[file] = [
                range(node.body[0].lineno, (node.body[-1].end_lineno or 0) + 1)
                for node in nodes
                if isinstance(node, ast.Try) and node.handlers
            ]
        return self._guarded[file]


class Placeholder:
    """Something of a package that is not installed, or that it has in another version.

    While a module is imported it lets itself be named, called, subscripted and derived from, as decorators, base
    classes, annotations and `logger = get_logger(__name__)` do. Anything else, and all of it inside a function, raises
    `MissingPackage` or `MissingName`.

    Args:
        missing: the package, or "module:name".
    """

    __slots__ = ("_missing", "_name")
    _name: str
    _missing: str

    def __init__(self, name: str, missing: str) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_missing", missing)

    def __getattr__(self, name: str) -> Placeholder:
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)  # what libraries ask everything for: nothing of the package
        return self._at_import(f"{self._name}.{name}")

    def __setattr__(self, name: str, value: object) -> None:
        self._at_import(name)

    def __call__(self, *_: object, **__: object) -> Placeholder:
        return self._at_import(f"{self._name}()")

    def __getitem__(self, _: object) -> Placeholder:
        return self._at_import(f"{self._name}[]")

    def __or__(self, _: object) -> Placeholder:
        return self._at_import(f"{self._name} | ...")

    __ror__ = __or__

    def __mro_entries__(self, _: tuple[object, ...]) -> tuple[type, ...]:
        missing, name = self._missing, self._name

        class Base:
            def __init_subclass__(cls, **_: object) -> None:
                super().__init_subclass__()

            def __new__(cls, *_: object, **__: object) -> Any:
                if _is_function(sys._getframe(1)):
                    raise _error(missing)
                return Placeholder(f"{name}()", missing)

        return (Base,)

    def __repr__(self) -> str:
        return f"<{self._name}, which is not installed here>"

    def _at_import(self, name: str) -> Placeholder:
        if _is_function(sys._getframe(2)):
            raise _error(self._missing)
        return Placeholder(name, self._missing)

    def _refuse(self, *_: object) -> Any:
        raise _error(self._missing)

    __iter__ = __next__ = __len__ = __bool__ = __contains__ = __enter__ = __exit__ = __await__ = _refuse
    __int__ = __float__ = __index__ = __lt__ = __le__ = __gt__ = __ge__ = __setitem__ = __delitem__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _refuse
    __matmul__ = __rmatmul__ = __pow__ = __rpow__ = __mod__ = __rmod__ = __and__ = __rand__ = _refuse
    __instancecheck__ = __subclasscheck__ = _refuse


def _error(missing: str) -> ImportError:
    return MissingName(missing) if ":" in missing else MissingPackage(missing)


def _place_of(error: BaseException, root: str) -> tuple[str, int] | None:
    """File and line of the submission's innermost statement that failed, if that is at module level."""
    place = None
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if _is_below(file, root):
            place = None if _is_function(trace.tb_frame) else (file, trace.tb_lineno)
        trace = trace.tb_next
    return place


def _is_below(file: str, root: str) -> bool:
    """Whether a file is the submission's own."""
    folder = os.path.join(os.path.realpath(root), "")
    return os.path.realpath(file).startswith(folder) and f"{os.sep}site-packages{os.sep}" not in file


def _is_function(frame: types.FrameType) -> bool:
    """Whether a frame is that of a function, rather than of a module or of a class statement in one."""
    outer: types.FrameType | None = frame
    while outer is not None and outer.f_code.co_name in _COMPREHENSIONS:
        outer = outer.f_back
    return outer is not None and bool(outer.f_code.co_flags & inspect.CO_OPTIMIZED)


# ------------------------------------------------------------------------------------------------------------
# A newer Python

_GENERATOR = "typing.Generator with one argument"
_NAMES: dict[str, Version] = {
    **dict.fromkeys(("itertools.batched", "typing.override", "typing.TypeAliasType", "math.sumprod"), (3, 12)),
    **dict.fromkeys(("pathlib.Path.walk", "collections.abc.Buffer", "inspect.BufferFlags"), (3, 12)),
    **dict.fromkeys(("typing.ReadOnly", "typing.TypeIs", "typing.NoDefault", "warnings.deprecated"), (3, 13)),
    **dict.fromkeys(("copy.replace", "os.process_cpu_count"), (3, 13)),
    "random.binomialvariate": (3, 12),
    _GENERATOR: (3, 13),
    **dict.fromkeys(("compression", "annotationlib", "string.templatelib", "concurrent.interpreters"), (3, 14)),
}
"""{what Python's own library has not always had: since when}."""

_SYNTAX: tuple[tuple[re.Pattern[str], Version], ...] = (
    (re.compile(r"^\s*(?:async\s+def|def|class|type)\s+\w+\s*\[[^]]*=.*\]\s*[(:=]"), (3, 13)),  # PEP 696
    (re.compile(r"^\s*(?:type\s+\w+.*=|(?:async\s+def|def|class)\s+\w+\s*\[.*\]\s*[(:])"), (3, 12)),  # PEP 695
    (re.compile(r"^\s*except\s+\w[\w.]*\s*,[^:]*:"), (3, 14)),  # PEP 758
    (re.compile(r"""\b[tT][rR]?["']"""), (3, 14)),  # PEP 750
)
_QUOTES_IN_F_STRINGS: Version = (3, 12)  # PEP 701
_FEW_ARGUMENTS = re.compile(r"Too few (?:arguments|parameters) for .*typing\.(?:Async)?Generator")


def version(text: str) -> Version:
    """(3, 12) of "3.12" or "3.12.1"."""
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def newer_python(error: BaseException, root: str) -> str | None:
    """What an exception shows a newer Python to be needed for: a name of its library, or a file with its syntax.

    The answer is what `python_needed` takes; None when the exception has another reason.
    """
    subject: str | None = None
    if isinstance(error, SyntaxError):
        subject = _below(error.filename, root)
    elif isinstance(error, ModuleNotFoundError):
        subject = error.name
    elif isinstance(error, ImportError) and (match := _IMPORT_FROM.search(str(error))):
        subject = f"{match[2]}.{match[1]}"
    elif isinstance(error, AttributeError) and isinstance(error.obj, types.ModuleType):
        subject = f"{error.obj.__name__}.{error.name}"
    elif isinstance(error, AttributeError) and isinstance(error.obj, Path):
        subject = f"pathlib.Path.{error.name}"
    elif isinstance(error, TypeError) and _FEW_ARGUMENTS.search(str(error)):
        subject = _GENERATOR
    return subject if subject and python_needed(subject, lambda path: Path(root, path).read_text("utf-8-sig")) else None


def _below(file: str | None, root: str) -> str | None:
    """The path of a file relative to a folder, if it lies below it."""
    path, folder = os.path.realpath(file or "."), os.path.realpath(root) + os.sep
    return path.removeprefix(folder) if path.startswith(folder) else None


def python_needed(subject: str, read: Callable[[str], str], have: Version | None = None) -> Version | None:
    """The Python that has what `newer_python` named, where `have` (by default this one) has not; else None.

    A file of the submission counts only if it cannot be parsed here, and the line that is to blame looks new.

    Args:
        read: gives the text of a file of the submission, or raises OSError or ValueError.
    """
    needed = _NAMES.get(subject) or (_syntax_of(subject, read) if subject.endswith(".py") else None)
    return needed if needed and needed > (have or sys.version_info[:2]) else None


def _syntax_of(path: str, read: Callable[[str], str]) -> Version | None:
    """The Python whose syntax a file uses, when that is why this one rejects it."""
    try:
        source = read(path)
        ast.parse(source)
    except SyntaxError as error:
        if "f-string" in (error.msg or ""):
            return _QUOTES_IN_F_STRINGS
        line = "".join(source.splitlines()[(error.lineno or 1) - 1 : error.lineno or 1])
        return next((version for pattern, version in _SYNTAX if pattern.search(line)), None)
    except (OSError, ValueError, RecursionError, MemoryError):
        pass
    return None
