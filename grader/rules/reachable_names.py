"""What a submission's code can reach from its adapters, read from its source alone. Pure but for reading files.

`Program.reached_from(["run_softmax"])` follows names from those functions: through imports between the submission's
own modules (aliases, star imports, re-exports, imports inside functions), classes and their methods, module-level
variables, and the usual disguises of a name (`getattr` and `importlib` with constant strings, `sys.modules[...]`,
`vars(...)[...]`, `eval` of a constant). What it gives back are the names of *other* libraries that such code mentions,
as `torch.nn.functional.silu`, each with file and line.

It is made to accuse too little rather than too much. A name counts where it is used: not where it is imported, in an
annotation, in a comparison or `isinstance`, as an entry of a table, or behind a `return`. Code that nothing reached
refers to (other adapters, variants, tests, `if __name__ == "__main__"`) is not looked at. A method counts when its
name is mentioned by reached code, or is one that Python, PyTorch or the tests call. A name with several meanings has
none.
"""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..submission.files import read_source

_MAX_FILE_BYTES = 1 << 20
_MAX_DEPTH = 40
_MAX_STEPS = 2_000_000  # a real submission takes some ten thousand
_MAX_TEXT = 200

_CALLED_BY_OTHERS = frozenset({"forward", "step", "encode", "decode", "encode_iterable"})
_TENSOR_METHODS = frozenset({"softmax", "log_softmax"})
_IMPORTERS = frozenset({"importlib.import_module", "builtins.__import__"})

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class TooInvolved(Exception):
    """Following the names of this source would take too long."""


@dataclass(frozen=True)
class Mention:
    """A name of another library in code that can be reached; `is_base`: as a base class."""

    name: str
    file: str
    line: int
    is_base: bool = False

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


# What an expression can stand for.


@dataclass(frozen=True)
class External:
    """A name of another library, dotted; `builtins.` in front of Python's own."""

    name: str


@dataclass(frozen=True, eq=False)
class Function:
    node: ast.FunctionDef | ast.AsyncFunctionDef
    scope: Scope
    owner: Class | None = None


@dataclass(frozen=True, eq=False)
class Class:
    node: ast.ClassDef
    scope: Scope

    @functools.cached_property
    def inner(self) -> Scope:
        return Scope(self.scope.module, self.scope, self.node.body)

    @functools.cached_property
    def methods(self) -> dict[str, Function]:
        return {
            node.name: Function(node, self.scope, self)
            for node in _flat(self.node.body)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    @functools.cached_property
    def ancestry(self) -> tuple[list[Class], list[tuple[str, Class]]]:
        """This class and its base classes, in the order in which Python looks (close enough); and their other bases.

        Of the other bases, (name, the class that names it).
        """
        own: dict[ast.ClassDef, Class] = {}
        foreign: list[tuple[str, Class]] = []
        waiting = [self]
        while waiting:
            kind = waiting.pop(0)
            if kind.node in own:
                continue
            own[kind.node] = kind
            bases = [kind.scope.resolve(base) for base in kind.node.bases]
            waiting[:0] = [base for base in bases if isinstance(base, Class)]
            foreign += [(base.name, kind) for base in bases if isinstance(base, External)]
        return list(own.values()), foreign

    @functools.cached_property
    def found(self) -> dict[str, Function]:
        """All methods by name, inherited ones included."""
        methods: dict[str, Function] = {}
        for kind in reversed(self.ancestry[0]):
            self.scope.module.program.spend(len(kind.methods))
            methods |= kind.methods
        return methods

    def find(self, name: str) -> Function | None:
        """A method, of the class itself or inherited."""
        return self.found.get(name)

    def find_above(self, name: str) -> Function | None:
        """A method as `super()` finds it."""
        return next((kind.methods[name] for kind in self.ancestry[0][1:] if name in kind.methods), None)


@dataclass(frozen=True, eq=False)
class Variable:
    """A module-level name whose value is some expression."""

    expression: ast.expr
    scope: Scope


class Scope:
    """The names of a module, a class body or a function."""

    def __init__(
        self, module: Module, parent: Scope | None, body: Sequence[ast.AST], known: Iterable[str] = ()
    ) -> None:
        self.module = module
        self.parent = parent
        self.bindings: dict[str, list[Any]] = {name: [None] for name in known}
        self.stars: list[Module] = []
        self._meanings: dict[str, Any] = {}
        for node in body:
            self._bind(node)

    def _bind(self, node: ast.AST) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._add(node.name, Function(node, self))
                return
            case ast.ClassDef():
                self._add(node.name, Class(node, self))
                return
            case ast.Lambda():
                return
            case ast.Import():
                for alias in node.names:
                    name = alias.name if alias.asname else alias.name.partition(".")[0]
                    self._add(alias.asname or name, ("module", name))
            case ast.ImportFrom():
                for alias in node.names:
                    if alias.name == "*":
                        source = self.module.import_from(node)
                        if isinstance(source, External):
                            self.module.external_stars.append(source.name)
                        elif source is not None:
                            self.stars.append(source)
                    else:
                        self._add(alias.asname or alias.name, ("from", node, alias.name))
            case (
                ast.Assign(targets=[target], value=value)
                | ast.AnnAssign(target=target, value=ast.expr() as value)
                | ast.NamedExpr(target=target, value=value)
            ) if pairs := _named(target, value):
                for name, part in pairs:
                    self._add(name, part)
                self._bind(value)
                return
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                self._add(name, None)
                return
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                self._add(name, None)
            case ast.Global(names=names):
                for name in names:
                    self.bindings.setdefault(name, [])
                return
        for child in ast.iter_child_nodes(node):
            self._bind(child)

    def _add(self, name: str, binding: Any) -> None:
        self.bindings.setdefault(name, []).append(binding)

    # ------------------------------------------------------------------------------------------------------------

    def find(self, name: str) -> tuple[Scope | None, list[Any]]:
        """The scope that binds a name, and what it is bound to there."""
        scope: Scope | None = self
        while scope is not None:
            if scope.bindings.get(name):
                return scope, scope.bindings[name]
            scope = scope.parent
        return None, []

    def value_of(self, binding: Any, depth: int = 0) -> Any:
        match binding:
            case ("module", str(name)):
                return self.module.program.module(name) or External(name)
            case ("from", ast.ImportFrom() as node, str(name)):
                source = self.module.import_from(node)
                if isinstance(source, External):
                    return External(f"{source.name}.{name}")
                return None if source is None else source.attribute(name, depth + 1)
            case ast.expr():
                value = self.resolve(binding, depth + 1)
                is_global = self.parent is None
                return Variable(binding, self) if value is None and is_global else value
        return binding

    def name(self, name: str, depth: int = 0) -> Any:
        """What a name stands for in this scope."""
        scope, bindings = self.find(name)
        if scope is None:
            return self.module.star(name, depth + 1)
        if name not in scope._meanings:
            scope._meanings[name] = None  # while it is being found out: a name defined by itself means nothing
            values = [scope.value_of(binding, depth + 1) for binding in bindings]
            if all(value == values[0] for value in values):  # imported twice, it is still one thing
                scope._meanings[name] = values[0]
            elif all(isinstance(value, Function | Class) for value in values):  # the last counts; none is overlooked
                scope._meanings[name] = values[-1]
                self.module.program.former[values[-1].node] = values[:-1]
        return scope._meanings[name]

    def resolve(self, node: ast.AST, depth: int = 0) -> Any:
        """What an expression stands for; None when that is not plain to see."""
        self.module.program.spend()
        if depth > _MAX_DEPTH:
            return None
        match node:
            case ast.Name(id=name):
                return self.name(name, depth + 1)
            case ast.Attribute(value=base, attr=attribute):
                return self._attribute(self.resolve(base, depth + 1), attribute, depth)
            case ast.Call(func=function, args=arguments):
                return self._call(function, arguments, node, depth)
            case ast.Subscript(value=base, slice=key):
                text = self.text(key, depth + 1)
                match text, self.resolve(base, depth + 1), base:
                    case str(), External(name="sys.modules"), _:
                        return self.module.program.module(text) or External(text)
                    case str(), External(name=name), _ if name.endswith(".__dict__"):
                        return External(f"{name.removesuffix('.__dict__')}.{text}")
                    case str(), _, ast.Call(func=ast.Name(id="vars"), args=[inner]):
                        return self._attribute(self.resolve(inner, depth + 1), text, depth)
                    case str(), _, ast.Call(func=ast.Name(id="globals"), args=[]):
                        return self.module.scope.name(text, depth + 1)
        return None

    def _attribute(self, base: Any, name: str, depth: int) -> Any:
        match base:
            case External():
                return External(f"{base.name}.{name}")
            case Module():
                return base.attribute(name, depth + 1)
            case Class():
                return base.find(name)
        return None

    def _call(self, function: ast.expr, arguments: list[ast.expr], node: ast.Call, depth: int) -> Any:
        if isinstance(function, ast.Call) and len(arguments) == 1 and function.args:
            if self.resolve(function.func, depth + 1) == External("operator.attrgetter"):
                return self._path(arguments[0], self.text(function.args[0], depth + 1), depth)
            return None
        called = self.resolve(function, depth + 1)
        if not isinstance(called, External) or not arguments:
            return None
        if called.name == "builtins.getattr" and len(arguments) >= 2:
            return self._path(arguments[0], self.text(arguments[1], depth + 1), depth)
        if called.name in _IMPORTERS and (name := self.text(arguments[0], depth + 1)):
            has_names = len(arguments) > 3 or any(keyword.arg == "fromlist" for keyword in node.keywords)
            if called.name == "builtins.__import__" and not has_names:
                name = name.partition(".")[0]
            return self.module.program.module(name) or External(name)
        return None

    def _path(self, base: ast.expr, path: str | None, depth: int) -> Any:
        value = self.resolve(base, depth + 1)
        for name in path.split(".") if path else ():
            value = self._attribute(value, name, depth)
        return value if path else None

    def text(self, node: ast.AST, depth: int = 0) -> str | None:
        """The constant string that an expression is, also when it is put together from pieces."""
        found = self._text(node, depth) if depth <= _MAX_DEPTH else None
        return found if found is not None and len(found) <= _MAX_TEXT else None

    def _text(self, node: ast.AST, depth: int) -> str | None:
        self.module.program.spend()
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                one, other = self.text(left, depth + 1), self.text(right, depth + 1)
                return one + other if one is not None and other is not None else None
            case ast.JoinedStr(values=values):
                parts = [self.text(v.value if isinstance(v, ast.FormattedValue) else v, depth + 1) for v in values]
                return "".join(parts) if None not in parts else None  # type: ignore[arg-type]
            case ast.Call(func=ast.Attribute(value=between, attr="join"), args=[ast.List(elts=e) | ast.Tuple(elts=e)]):
                glue, parts = self.text(between, depth + 1), [self.text(part, depth + 1) for part in e]
                return glue.join(parts) if glue is not None and None not in parts else None  # type: ignore[arg-type]
            case ast.Subscript(
                value=value,
                slice=ast.Slice(lower=None, upper=None, step=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))),
            ):
                forwards = self.text(value, depth + 1)
                return forwards[::-1] if forwards is not None else None
            case ast.Name(id=name):
                scope, bindings = self.find(name)
                if scope is not None and len(bindings) == 1 and isinstance(bindings[0], ast.expr):
                    return scope.text(bindings[0], depth + 1)
        return None


class Module:
    """One file of the submission, or a folder that is imported as a package without one."""

    def __init__(self, program: Program, file: Path | None, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.name = file.relative_to(program.root).as_posix() if file is not None else ""
        self.is_package = file is None or file.name == "__init__.py"
        self.tree = _parse(file, program.root) if file is not None else ast.Module([], [])
        self.external_stars: list[str] = []
        self._attributes: dict[str, Any] = {}

    @functools.cached_property
    def scope(self) -> Scope:
        return Scope(self, None, self.tree.body)

    @functools.cached_property
    def method_names(self) -> frozenset[str]:
        classes = [node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)]
        return frozenset(name for node in classes for name in Class(node, self.scope).methods)

    def attribute(self, name: str, depth: int = 0) -> Any:
        """What `module.name` is: something defined or imported there, or a module of the package."""
        if name not in self._attributes:
            self._attributes[name] = None  # while it is being found out
            self._attributes[name] = self._attribute(name, depth)
        return self._attributes[name]

    def _attribute(self, name: str, depth: int) -> Any:
        if self.scope.bindings.get(name):
            return self.scope.name(name, depth + 1)
        found = self._from_stars(name, depth)
        if found is not None:
            return found
        return self.program.at(self.folder / name) if self.is_package else None

    def _from_stars(self, name: str, depth: int) -> Any:
        for source in self.scope.stars:
            if source is not self and (found := source.attribute(name, depth + 1)) is not None:
                return found
        return None

    def star(self, name: str, depth: int) -> Any:
        """A name that no scope binds: from a star import, or Python's own."""
        if (found := self._from_stars(name, depth)) is not None:
            return found
        if name in _BUILTINS:
            return External(f"builtins.{name}")
        for source in self.external_stars:
            if source.startswith("torch"):
                return External(f"{source}.{name}")
        return None

    def import_from(self, node: ast.ImportFrom) -> Any:
        """The module in `from module import ...`; External when it is not the submission's."""
        if not node.level:
            return self.program.module(node.module or "") or External(node.module or "")
        folder = self.folder
        for _ in range(node.level - 1):
            folder = folder.parent
        return self.program.at(folder.joinpath(*(node.module or "").split(".")) if node.module else folder)


_BUILTINS = frozenset(
    {"getattr", "__import__", "vars", "globals", "eval", "exec", "isinstance", "issubclass", "super", "hasattr", "type"}
)


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
        self._package = package
        self._folders = [self.root, *(Path(folder).resolve() for folder in import_path)]
        self._modules: dict[Path, Module | None] = {}
        self._named: dict[str, Module | None] = {}
        self.former: dict[ast.AST, list[Any]] = {}
        self._steps = 0
        self._adapters_folder = (self.root / adapters).parent
        self.adapters = self.at((self.root / adapters).with_suffix(""))

    def spend(self, steps: int = 1) -> None:
        """Count some steps.

        Raises:
            TooInvolved: after far more steps than honest source needs.
        """
        self._steps += steps
        if self._steps > _MAX_STEPS:
            raise TooInvolved

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
        if dotted not in self._named:
            self._named[dotted] = self._find(dotted)
        return self._named[dotted]

    def _find(self, dotted: str) -> Module | None:
        first, *rest = dotted.split(".")
        if self._package and first == self._package:
            return self.at(self._adapters_folder.joinpath(*rest))
        for folder in self._folders:
            if (folder / first).is_dir() or (folder / f"{first}.py").is_file():
                found = self.at(folder.joinpath(first, *rest))
                if found is not None:
                    return found
        return None

    def defines_method(self, name: str) -> bool:
        """Whether any class in the modules read so far has such a method."""
        return any(name in module.method_names for module in self._modules.values() if module is not None)

    def reached_from(self, functions: Iterable[str]) -> list[Mention]:
        """The names of other libraries in what these functions of the adapters reach, each once per line."""
        if self.adapters is None:
            return []
        search = _Search(self)
        for name in functions:
            search.reach(self.adapters.attribute(name))
        search.run()
        return list(dict.fromkeys(search.mentions))


class _Search:
    """One walk through the code, from some functions on."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.mentions: list[Mention] = []
        self._queue: list[Any] = []
        self._seen: set[ast.AST] = set()
        self._classes: list[Class] = []
        self._names: set[str] = set(_CALLED_BY_OTHERS)

    def reach(self, value: Any) -> None:
        node = value.expression if isinstance(value, Variable) else getattr(value, "node", None)
        if node is not None and node not in self._seen:
            self._seen.add(node)
            self._queue.append(value)
            for former in self.program.former.get(node, ()):
                self.reach(former)

    def run(self) -> None:
        asked: set[str] = set()
        classes = 0
        while self._queue:
            while self._queue:
                self._walk(self._queue.pop())
            # A class may be reached before the name of its method is. Every class is asked for every name once.
            new = self._names - asked
            for number, kind in enumerate(self._classes):
                wanted = new
                if number >= classes:
                    wanted = self._names | {name for name in kind.methods if name.startswith("__")}
                self.program.spend(len(wanted))
                for name in wanted:
                    self.reach(kind.find(name))
            asked |= new
            classes = len(self._classes)

    def _walk(self, value: Any) -> None:
        match value:
            case Function(node=node, scope=scope, owner=owner):
                walker = _Walker(self, scope, owner)
                for outer in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
                    walker.visit(outer)
                inner = Scope(scope.module, scope, node.body, _parameters(node.args))
                _Walker(self, inner, owner).visit_body(node.body)
            case Class(node=node, scope=scope):
                self._classes.append(value)
                for name, kind in value.ancestry[1]:
                    self.mention(name, kind.scope, kind.node, is_base=True)
                walker = _Walker(self, value.inner, value)
                for statement in node.body:
                    if not isinstance(statement, Definition):
                        walker.visit(statement)
            case Variable(expression=expression, scope=scope):
                _Walker(self, scope, None).visit(expression)

    def mention(self, name: str, scope: Scope, node: Any, is_base: bool = False) -> None:
        if not name.startswith("builtins."):
            self.mentions.append(Mention(name, scope.module.name, node.lineno, is_base))

    def uses(self, name: str) -> None:
        self._names.add(name)


class _Walker(ast.NodeVisitor):
    """Reads the statements of one definition."""

    def __init__(self, search: _Search, scope: Scope, owner: Class | None) -> None:
        self._search = search
        self._scope = scope
        self._owner = owner

    def visit_body(self, statements: Iterable[ast.stmt]) -> None:
        """Visit statements up to the first that leaves."""
        for statement in statements:
            self.visit(statement)
            if isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break):
                return

    def generic_visit(self, node: ast.AST) -> None:
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "type_comment", "cls", "type_params"):
                continue
            if isinstance(value, list):
                if value and isinstance(value[0], ast.stmt):
                    self.visit_body(value)
                    continue
                for item in value:
                    if isinstance(item, ast.AST):
                        self.visit(item)
            elif isinstance(value, ast.AST):
                self.visit(value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """A nested function counts where it is mentioned."""

    visit_AsyncFunctionDef = visit_ClassDef = visit_Import = visit_ImportFrom = visit_FunctionDef  # type: ignore

    def visit_Lambda(self, node: ast.Lambda) -> None:
        inner = Scope(self._scope.module, self._scope, [], _parameters(node.args))
        _Walker(self._search, inner, self._owner).visit(node.body)

    def visit_If(self, node: ast.If) -> None:
        match node.test:
            case ast.Constant(value=value):
                self.visit_body(node.body if value else node.orelse)
            case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
                self.visit_body(node.orelse)
            case _:
                self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.visit_body(node.body)

    def visit_Dict(self, node: ast.Dict) -> None:
        """The entries of a table are choices; which one is taken cannot be read here."""
        for item in (*filter(None, node.keys), *node.values):
            if not isinstance(self._scope.resolve(item), External):
                self.visit(item)

    def visit_Compare(self, node: ast.Compare) -> None:
        for operand in (node.left, *node.comparators):
            if not isinstance(self._scope.resolve(operand), External):
                self.visit(operand)

    def visit_Call(self, node: ast.Call) -> None:
        called = self._scope.resolve(node.func)
        name = called.name if isinstance(called, External) else ""
        if name in ("builtins.isinstance", "builtins.issubclass", "builtins.hasattr", "typing.cast"):
            for argument in node.args[1:] if name == "typing.cast" else node.args[:1]:
                self.visit(argument)
            return
        if name in ("builtins.eval", "builtins.exec") and node.args and (text := self._scope.text(node.args[0])):
            self._visit_text(text, node.lineno)
        if self._scope.resolve(node) is not None:
            self._found(node)
            return
        if isinstance(node.func, ast.Attribute) and self._is_tensor_method(node.func):
            self._search.mention(f"torch.Tensor.{node.func.attr}", self._scope, node)
        if isinstance(node.func, ast.Attribute) and self._is_super(node.func.value) and self._owner is not None:
            self._search.reach(self._owner.find_above(node.func.attr))
        self.generic_visit(node)

    def _visit_text(self, text: str, line: int) -> None:
        """Code in a constant string."""
        tree = _parse_text(text)
        for node in ast.walk(tree):
            if hasattr(node, "lineno"):
                node.lineno = line
        self.visit_body(tree.body)

    def _is_tensor_method(self, function: ast.Attribute) -> bool:
        """Whether this looks like a tensor's own method rather than one of the submission's."""
        if function.attr not in _TENSOR_METHODS or self._search.program.defines_method(function.attr):
            return False
        base = function.value
        if isinstance(base, ast.Name):
            imported = any(isinstance(binding, tuple) for binding in self._scope.find(base.id)[1])
            if imported or base.id in ("self", "cls"):
                return False
        return self._scope.resolve(base) is None

    @staticmethod
    def _is_super(node: ast.expr) -> bool:
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self._found(node):
            self._search.uses(node.attr)
            self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not self._found(node):
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            return
        scope, bindings = self._scope.find(node.id)
        is_local = scope is not None and scope.parent is not None
        if is_local and all(isinstance(binding, ast.expr) for binding in bindings):
            return  # its value has been visited where it was assigned
        if scope is not None and len(bindings) > 1:
            for binding in bindings:
                value = scope.value_of(binding)
                if not isinstance(value, External):
                    self._search.reach(value)
            return
        self._found(node)

    def _found(self, node: ast.expr) -> bool:
        """Follow an expression that stands for something; False when it does not."""
        value = self._scope.resolve(node)
        if isinstance(value, External):
            self._search.mention(value.name, self._scope, node)
        elif isinstance(value, Function | Class | Variable):
            self._search.reach(value)
        return value is not None


def _named(target: ast.expr, value: ast.expr) -> list[tuple[str, ast.expr]]:
    """Which name an assignment gives to what, where that is plain to see."""
    match target, value:
        case ast.Name(id=name), _:
            return [(name, value)]
        case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
            pairs = [(t.id, v) for t, v in zip(targets, values, strict=True) if isinstance(t, ast.Name)]
            return pairs if len(pairs) == len(targets) else []
    return []


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a class body, those in its `if` and `try` included."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try):
            yield from _flat([*statement.body, *statement.orelse])


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        yield argument.arg
    for rest in (arguments.vararg, arguments.kwarg):
        if rest is not None:
            yield rest.arg


def _parse(file: Path, root: Path) -> ast.Module:
    """A file's syntax tree; an empty one for what is too large or cannot be read, which the worker will say."""
    try:
        return _parse_text(read_source(file, _MAX_FILE_BYTES, root))
    except (OSError, UnicodeDecodeError):
        return ast.Module([], [])


def _parse_text(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])
