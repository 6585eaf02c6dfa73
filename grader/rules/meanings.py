"""What the names in a submission's source stand for, as far as that is plain to see. Pure but for reading files.

`Program` finds the submission's modules. A `Scope` says what a name or a dotted expression stands for in a module, a
class body or a function: through aliases, imports between the submission's own modules, star imports and re-exports.
A name that may stand for several things stands for none of another library.
"""

from __future__ import annotations

import ast
import builtins
import functools
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..submission.files import read_source

_MAX_FILE_BYTES = 1 << 20
_MAX_STEPS = 2_000_000  # a real submission takes some fifty thousand
_CHARACTERS_A_STEP = 4  # reading counts as well: at most 8 MB of source


class TooInvolved(Exception):
    """Following the names of this source would take too long."""


# What a name can stand for. Each of the submission's own definitions is one object; `scope` is what surrounds it.


@dataclass(frozen=True)
class External:
    """A dotted name of another library."""

    name: str


@dataclass(frozen=True, eq=False)
class Variable:
    expression: ast.expr
    scope: Scope


@dataclass(frozen=True, eq=False)
class Several:
    """What of the submission a name may stand for that is bound more than once."""

    values: tuple[Own | Module, ...]


@dataclass(frozen=True, eq=False)
class Function:
    """`owner` is the class of a method."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    scope: Scope
    owner: Class | None = None

    @functools.cached_property
    def inner(self) -> Scope:
        return Scope(self.scope.module, self.scope, [self.node.args, *self.node.body])


@dataclass(frozen=True, eq=False)
class Class:
    node: ast.ClassDef
    scope: Scope

    @functools.cached_property
    def inner(self) -> Scope:
        return Scope(self.scope.module, self.scope, self.node.body)

    @functools.cached_property
    def bases(self) -> list[Value | None]:
        return [self.scope.resolve(base) for base in self.node.bases]

    @functools.cached_property
    def lineage(self) -> list[Class]:
        """This class and those of the submission that it inherits from, in the order of search (close enough)."""
        found: dict[Class, None] = {}
        waiting = [self]
        while waiting:
            kind = waiting.pop()
            if kind not in found:
                self.scope.module.program.spend(1 + len(kind.own_methods))
                found[kind] = None
                waiting += [base for base in reversed(kind.bases) if isinstance(base, Class)]
        return list(found)

    @functools.cached_property
    def own_methods(self) -> dict[str, Function]:
        nodes = (node for node in _of_this_scope(self.node.body) if isinstance(node, _FUNCTION))
        return {node.name: Function(node, self.scope, self) for node in nodes}

    @functools.cached_property
    def methods(self) -> dict[str, Function]:
        """By name, inherited ones included."""
        return {name: method for kind in reversed(self.lineage) for name, method in kind.own_methods.items()}


@dataclass(frozen=True)
class Import:
    """`import module`, or with a name `from module import name`; `level` is the number of dots in front."""

    module: str
    name: str | None = None
    level: int = 0


class Scope:
    """The names that a module, a class body or a function binds."""

    def __init__(self, module: Module, parent: Scope | None, body: Sequence[ast.AST]) -> None:
        self.module = module
        self.parent = parent
        self._bindings: defaultdict[str, list[Binding]] = defaultdict(list)
        self._meanings: dict[str, Value | None] = {}
        for name, binding in self._bound_in(body):
            self._bindings[name].append(binding)

    def _bound_in(self, body: Sequence[ast.AST]) -> Iterator[tuple[str, Binding]]:
        assigned: set[ast.AST] = set()
        for node in _of_this_scope(body):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    yield node.name, Function(node, self)
                case ast.ClassDef():
                    yield node.name, Class(node, self)
                case ast.Import(names=names):
                    for alias in names:
                        module = alias.name if alias.asname else alias.name.partition(".")[0]
                        yield alias.asname or module, Import(module)
                case ast.ImportFrom(module=source, names=names, level=level):
                    for alias in names:
                        yield alias.asname or alias.name, Import(source or "", alias.name, level)
                case (
                    ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=ast.expr() as value)
                ):
                    if isinstance(target, ast.Name):
                        assigned.add(target)
                        yield target.id, Variable(value, self)
                case ast.Name(id=name, ctx=ast.Store()) if node not in assigned:
                    yield name, None
                case ast.arg(arg=name) | ast.MatchAs(name=str(name)) | ast.ExceptHandler(name=str(name)):
                    yield name, None

    def look_up(self, name: str) -> Value | None:
        """What a name stands for here; None when that is not plain to see."""
        if name not in self._meanings:
            self.module.program.spend()
            self._meanings[name] = None  # while it is being found out: a name defined by itself means nothing
            self._meanings[name] = self._meaning(name)
        return self._meanings[name]

    def _meaning(self, name: str) -> Value | None:
        if name not in self._bindings:
            return self.parent.look_up(name) if self.parent is not None else None
        values = [self._value(binding) for binding in self._bindings[name]]
        if all(value == values[0] for value in values):  # imported twice, it is still one thing
            return values[0]
        own = tuple(value for value in values if value is not None and not isinstance(value, External))
        return Several(own) if own else None

    def _value(self, binding: Binding) -> Value | None:
        match binding:
            case Import():
                return self.module.imported(binding)
            case Variable(expression=expression):
                value = self.resolve(expression)
                return binding if value is None and self.parent is None else value
        return binding

    def resolve(self, node: ast.AST) -> Value | None:
        """What an expression stands for; None when that is not plain to see."""
        attributes = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        self.module.program.spend(1 + len(attributes))
        value = self.look_up(node.id) if isinstance(node, ast.Name) else None
        return functools.reduce(_attribute, reversed(attributes), value)


class Module(Scope):
    """One file of the submission, or a folder without `__init__.py` that is imported as a package."""

    def __init__(self, program: Program, file: Path | None, folder: Path) -> None:
        self.program = program
        self.file = file.relative_to(program.root).as_posix() if file is not None else ""
        self._folder = folder
        self._is_package = file is None or file.name == "__init__.py"
        self._statements = program.parse(file) if file is not None else []
        self._lines = program.lines_of(file)
        super().__init__(self, None, self._statements)

    @functools.cached_property
    def _star_sources(self) -> list[Module | External | None]:
        return [self._source(binding) for binding in self._bindings["*"] if isinstance(binding, Import)]

    def _meaning(self, name: str) -> Value | None:
        """A name of the module; else one from a star import, or a module of this package."""
        if name in self._bindings:
            return super()._meaning(name)
        for source in self._star_sources:
            if isinstance(source, Module) and (found := source.look_up(name)) is not None:
                return found
        if (submodule := self._submodule(name)) is not None:
            return submodule
        match self._star_sources:
            case [External(name=library)] if library.partition(".")[0] == "torch" and not hasattr(builtins, name):
                return External(f"{library}.{name}")
        return None

    def _submodule(self, name: str) -> Module | None:
        return self.program.at(self._folder / name) if self._is_package else None

    def imported(self, what: Import) -> Value | None:
        """What an import statement in this module binds."""
        source = self._source(what)
        if what.name is None:
            return source
        return self._submodule(what.name) if source is self else _attribute(source, what.name)

    def text_of(self, node: ast.AST) -> str:
        """The lines that a definition or an expression of this module takes."""
        first = min(part.lineno for part in (*getattr(node, "decorator_list", ()), node))
        return "\n".join(self._lines[first - 1 : getattr(node, "end_lineno", first)])

    def modules_named_in(self, nodes: Iterable[ast.AST] | None = None) -> list[Module]:
        """The submission's modules that import statements among these nodes name; of this module's own, if None."""
        named: list[Value | None] = []
        for node in _of_this_scope(self._statements) if nodes is None else nodes:
            match node:
                case ast.Import(names=names):
                    named += [self._source(Import(alias.name)) for alias in names]
                case ast.ImportFrom(module=source, names=names, level=level):
                    within = self._source(Import(source or "", level=level))
                    named += [within, *(within._submodule(a.name) for a in names if isinstance(within, Module))]
        return [module for module in named if isinstance(module, Module)]

    def _source(self, what: Import) -> Module | External | None:
        if not what.level:
            return self.program.module(what.module) or External(what.module)
        folder = [self._folder, *self._folder.parents][: what.level][-1]
        return self.program.at(folder.joinpath(*what.module.split(".")))


Own = Function | Class | Variable | Several
Value = Own | Module | External
Binding = Function | Class | Variable | Import | None
"""What a scope knows of a name; None where it may stand for anything."""

_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITION = _FUNCTION | ast.ClassDef


def _attribute(value: Value | None, name: str) -> Value | None:
    match value:
        case External(name=library):
            return External(f"{library}.{name}")
        case Module():
            return value.look_up(name)
        case Class():
            return value.methods.get(name)
    return None


def _of_this_scope(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """What is executed with a body, in order: all its nodes but those inside of nested definitions."""
    waiting = list(reversed(body))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, DEFINITION):
            waiting += reversed(list(ast.iter_child_nodes(node)))


class Program:
    """The source of a submission.

    Args:
        root: its folder; nothing outside is read.
        adapters: the adapters file, relative to it.
        package: the name under which the folder of the adapters is imported, or "".
        import_path: further folders to import from.
    """

    def __init__(self, root: Path, adapters: str, package: str = "", import_path: Iterable[str] = ()) -> None:
        self.root = root.resolve()
        self._adapters = self.root / adapters
        self._package = package
        self._folders = [self.root, *(Path(folder).resolve() for folder in import_path)]
        self._modules: dict[Path, Module | None] = {}
        self._lines: dict[Path, list[str]] = {}
        self._steps = 0

    def adapter(self, name: str) -> Value | None:
        """What a name of the adapters file stands for."""
        return _attribute(self.at(self._adapters.with_suffix("")), name)

    def spend(self, steps: int = 1) -> None:
        """Count some steps; raises TooInvolved when there are too many."""
        self._steps += steps
        if self._steps > _MAX_STEPS:
            raise TooInvolved

    def parse(self, file: Path) -> list[ast.stmt]:
        """A file's statements; none of what is too large or cannot be read, which the worker will say."""
        try:
            text = read_source(file, _MAX_FILE_BYTES, self.root)
            self.spend(len(text) // _CHARACTERS_A_STEP)
            self._lines[file] = text.split("\n")
            return ast.parse(text).body
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return []

    def lines_of(self, file: Path | None) -> list[str]:
        """The lines of a file that was parsed."""
        return self._lines.get(file, []) if file is not None else []

    def at(self, path: Path) -> Module | None:
        """The module at a path without suffix."""
        path = Path(os.path.realpath(path))  # which, unlike resolve(), takes a link to itself for what it is
        if path not in self._modules:
            self._modules[path] = self._load(path)
        return self._modules[path]

    def _load(self, path: Path) -> Module | None:
        if not path.is_relative_to(self.root):
            return None
        for file, folder in ((path / "__init__.py", path), (path.with_name(f"{path.name}.py"), path.parent)):
            if file.is_file() and file.resolve().is_relative_to(self.root):
                return Module(self, file, folder)
        return Module(self, None, path) if path.is_dir() else None

    def module(self, dotted: str) -> Module | None:
        """The submission's module of an absolute name; None when it is none of the submission's."""
        first, *rest = dotted.split(".")
        if self._package and first == self._package:
            return self.at(self._adapters.parent.joinpath(*rest))
        found = (self.at(folder.joinpath(first, *rest)) for folder in self._folders)
        return next((module for module in found if module is not None), None)
