"""What a submission needs and this machine lacks: packages that are not installed, and a newer Python.

Neither says anything about the submission's code, so neither may cost it points: a test that needs such a thing is not
assessed. The worker says what it met, and the judge makes sure of it with the same functions (`lacks`,
`python_needed`): only a package that really cannot be imported counts, and only what this Python really has not.

`Placeholders` keeps one missing package from taking everything else with it. It stands in for the package in the
submission's own import statements, at module level, after the plain import has failed; whatever uses one while a test
runs raises `MissingPackage`.
"""

from __future__ import annotations

import ast
import builtins
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
_NOT_SEARCHED = (".", "__pycache__", "site-packages", "node_modules")


class MissingPackage(ModuleNotFoundError):
    """Code used a package that is not installed here."""

    def __init__(self, package: str) -> None:
        super().__init__(f"No module named {package!r}", name=package)


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
    return (
        package.isidentifier()
        and package not in sys.stdlib_module_names
        and package not in _NAMES
        and package.casefold() not in _own_names(layout)
        and PathFinder.find_spec(package, list(path)) is None
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
# Placeholders


class Placeholders:
    """Provides placeholders for missing packages to one submission's import statements.

    It takes the place of `builtins.__import__` and leaves `sys.modules` alone: einops and jaxtyping look there for
    the frameworks that a program uses, and must not find one that is not installed. An import within `try` stays as it
    is, since such code has another way; so do imports within functions, which fail when a test calls them.
    """

    def __init__(self, layout: Layout, path: Sequence[str]) -> None:
        self._layout, self._path = layout, path
        self._root = os.path.realpath(layout.root) + os.sep
        self._places: set[tuple[str, int]] = set()
        self._guarded: dict[str, list[range]] = {}
        self._own: frozenset[str] = frozenset()
        self._import = builtins.__import__
        self.packages: list[str] = []

    def provide(self, error: BaseException) -> bool:
        """Have the import that failed with this error succeed when it is tried again; False where nothing can be done.

        That is so when it did not fail for a missing package, or not in an import statement at module level, or again
        in spite of the placeholder.
        """
        package = missing_package(error, self._layout, self._path)
        place = self._place_of(error)
        if package is None or place is None or place in self._places or isinstance(error, MissingPackage):
            return False
        self._places.add(place)
        self._own = _own_names(self._layout)
        if package not in self.packages:
            self.packages.append(package)
        builtins.__import__ = self._import_or_stand_in
        return True

    def as_plain(self) -> dict[str, Any]:
        """What another process needs to go on with the same placeholders (`resume`)."""
        layout = {"root": self._layout.root, "distributions": list(self._layout.distributions)}
        return {"layout": layout, "path": list(self._path), "packages": self.packages, "places": list(self._places)}

    @classmethod
    def in_use(cls) -> Placeholders | None:
        """Those of this process, if it has any."""
        owner = getattr(builtins.__import__, "__self__", None)
        return owner if isinstance(owner, cls) else None

    @classmethod
    def resume(cls, fields: dict[str, Any]) -> None:
        """Provide in this process what another one provides."""
        here = cls(types.SimpleNamespace(**fields["layout"]), fields["path"])  # type: ignore[arg-type]
        here.packages = fields["packages"]
        here._places = {(file, line) for file, line in fields["places"]}
        here._own = _own_names(here._layout)
        builtins.__import__ = here._import_or_stand_in

    def _place_of(self, error: BaseException) -> tuple[str, int] | None:
        """File and line of the submission's innermost statement that failed, if that is at module level."""
        place = None
        trace = error.__traceback__
        while trace is not None:
            if self._owns(trace.tb_frame.f_code.co_filename):
                file = trace.tb_frame.f_code.co_filename
                place = None if _is_function(trace.tb_frame) else (file, trace.tb_lineno)
            trace = trace.tb_next
        return place

    def _import_or_stand_in(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        try:
            return self._import(name, globals, locals, fromlist or (), level)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in self.packages or isinstance(error, MissingPackage) or level or "*" in (fromlist or ()):
                raise
            frame = sys._getframe(1)
            file, line = frame.f_code.co_filename, frame.f_lineno
            if _is_function(frame) or not self._owns(file) or name.partition(".")[0].casefold() in self._own:
                raise
            if (file, line) not in self._places and any(line in lines for lines in self._guards(file)):
                raise
            return Placeholder(name if fromlist else name.partition(".")[0], package)

    def _owns(self, file: str) -> bool:
        return os.path.realpath(file).startswith(self._root) and f"{os.sep}site-packages{os.sep}" not in file

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
    """Something of a package that is not installed.

    While a module is imported it lets itself be named, called, subscripted and derived from, as decorators, base
    classes, annotations and `logger = get_logger(__name__)` do. Anything else, and all of it inside a function, raises
    `MissingPackage`.
    """

    __slots__ = ("_name", "_package")
    _name: str
    _package: str

    def __init__(self, name: str, package: str) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_package", package)

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
        package, name = self._package, self._name

        class Base:
            def __init_subclass__(cls, **_: object) -> None:
                super().__init_subclass__()

            def __new__(cls, *_: object, **__: object) -> Any:
                if _is_function(sys._getframe(1)):
                    raise MissingPackage(package)
                return Placeholder(f"{name}()", package)

        return (Base,)

    def __repr__(self) -> str:
        return f"<{self._name}, which is not installed here>"

    def _at_import(self, name: str) -> Placeholder:
        if _is_function(sys._getframe(2)):
            raise MissingPackage(self._package)
        return Placeholder(name, self._package)

    def _refuse(self, *_: object) -> Any:
        raise MissingPackage(self._package)

    __iter__ = __next__ = __len__ = __bool__ = __contains__ = __enter__ = __exit__ = __await__ = _refuse
    __int__ = __float__ = __index__ = __lt__ = __le__ = __gt__ = __ge__ = __setitem__ = __delitem__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _refuse
    __matmul__ = __rmatmul__ = __pow__ = __rpow__ = __mod__ = __rmod__ = __and__ = __rand__ = _refuse
    __instancecheck__ = __subclasscheck__ = _refuse


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
_IMPORT_FROM = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
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
