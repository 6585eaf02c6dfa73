"""What a submission's code can reach from its adapters, read from its source alone.

`reached_from(program, ["run_softmax"])` follows names from those functions through the submission's own modules,
functions, classes, the methods that they define and inherit, and module-level variables. What it gives back are the
names of *other* libraries that such code mentions, as `torch.nn.functional.silu`, each with file and line.

It accuses too little rather than too much: what it finds is shown to a person and costs no points. A name counts where
it is used: not where it is imported, in an annotation, in a comparison or `isinstance`, as an entry of a table, or
behind a `return`. Code that nothing reached refers to (other adapters, variants, tests) is not looked at. A method
counts when reached code mentions its name, or when Python, PyTorch or the tests call it. What only shows when the code
runs (a tensor's own `softmax`, `getattr`, `importlib`, `eval`) is left to the usage monitor.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .meanings import DEFINITION, Class, External, Function, Module, Own, Program, Scope, Several, Value, Variable

_CALLED_BY_OTHERS = frozenset({"forward", "step", "encode", "decode", "encode_iterable"})
_NOT_EVALUATED = frozenset({"annotation", "cls", "type"})
"""Fields of a syntax tree that only name a type: of annotations, `case Type():` and `except Type:`."""

_LEAVING = ast.Return | ast.Raise | ast.Continue | ast.Break


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


def reached_from(program: Program, functions: Iterable[str]) -> list[Mention]:
    """The names of other libraries in what these functions of the adapters reach, each once per line.

    Raises:
        TooInvolved: when that would take far more steps than honest source needs.
    """
    search = _Search()
    for name in functions:
        search.reach(program.adapter(name))
    return search.run()


def definitions_reached_from(program: Program, functions: Iterable[str]) -> list[tuple[Module, ast.stmt | ast.expr]]:
    """The definitions of the submission's own that these functions of the adapters reach, each with its module.

    They are in the order in which they were reached.

    Raises:
        TooInvolved: as `reached_from`.
    """
    search = _Search()
    for name in functions:
        search.reach(program.adapter(name))
    search.run()
    found: list[tuple[Module, ast.stmt | ast.expr]] = []
    for value in search.reached:
        match value:
            case Function(node=node, scope=scope) | Class(node=node, scope=scope):
                found.append((scope.module, node))
            case Variable(expression=expression, scope=scope):
                found.append((scope.module, expression))
    return found


class _Search:
    """What is reached from some functions on."""

    def __init__(self) -> None:
        self._mentions: dict[Mention, None] = {}
        self.reached: dict[Own, None] = {}
        self._queue: list[Own] = []
        self._methods: defaultdict[str, list[Function]] = defaultdict(list)  # of reached classes
        self._called = set(_CALLED_BY_OTHERS)

    def run(self) -> list[Mention]:
        while self._queue:
            match self._queue.pop():
                case Function(node=node, scope=scope, owner=owner) as function:
                    _Walker(self, scope).visit_all([*node.decorator_list, node.args])
                    _Walker(self, function.inner, owner).visit_all(node.body)
                case Class() as kind:
                    self._enter(kind)
                    _Walker(self, kind.inner, kind).visit_all(kind.node.body)
                case Variable(expression=expression, scope=scope):
                    _Walker(self, scope).visit(expression)
                case Several(values=values):
                    for value in values:
                        self.reach(value)
        return list(self._mentions)

    def _enter(self, kind: Class) -> None:
        for above in kind.lineage:
            for base in above.bases:
                if isinstance(base, External):
                    self.mention(base.name, above.scope, above.node, is_base=True)
        for name, method in kind.methods.items():
            self._methods[name].append(method)
            if name in self._called or name.startswith("__"):
                self.reach(method)

    def reach(self, value: Value | None) -> None:
        if isinstance(value, Own) and value not in self.reached:
            self.reached[value] = None
            self._queue.append(value)

    def call(self, name: str) -> None:
        """Reach the methods of a name; which class is meant cannot be read."""
        if name not in self._called:
            self._called.add(name)
            for method in self._methods.get(name, ()):
                self.reach(method)

    def mention(self, name: str, scope: Scope, node: ast.expr | ast.ClassDef, is_base: bool = False) -> None:
        self._mentions[Mention(name, scope.module.file, node.lineno, is_base)] = None


class _Walker(ast.NodeVisitor):
    """Reads what one definition evaluates. Nested definitions count where they are mentioned."""

    def __init__(self, search: _Search, scope: Scope, owner: Class | None = None) -> None:
        self._search = search
        self._scope = scope
        self._owner = owner

    def visit_all(self, nodes: Iterable[ast.AST]) -> None:
        """Visit nodes up to the first statement that leaves."""
        for node in nodes:
            if not isinstance(node, DEFINITION):
                self.visit(node)
            if isinstance(node, _LEAVING):
                return

    def generic_visit(self, node: ast.AST) -> None:
        for field, value in ast.iter_fields(node):
            children = value if isinstance(value, list) else [value]
            if field not in _NOT_EVALUATED:
                self.visit_all(child for child in children if isinstance(child, ast.AST))

    def visit_Dict(self, node: ast.Dict | ast.Compare) -> None:
        """What a table offers, or what is compared, is not used."""
        used = (part for part in ast.iter_child_nodes(node) if not isinstance(self._scope.resolve(part), External))
        self.visit_all(used)

    visit_Compare = visit_Dict

    def visit_If(self, node: ast.If) -> None:
        match node.test:
            case ast.Constant(value=False) | ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
                self.visit_all(node.orelse)
            case _:
                self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Name(id="isinstance" | "issubclass" | "hasattr"):
                self.visit_all(node.args[:1])
                return
            case function if self._scope.resolve(function) == External("typing.cast"):
                self.visit_all(node.args[1:])
                return
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name) if self._owner is not None:
                above = [base.methods.get(name) for base in self._owner.bases if isinstance(base, Class)]
                self._search.reach(next(filter(None, above), None))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self._follow(node):
            self._search.call(node.attr)
            self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._follow(node)

    def _follow(self, node: ast.expr) -> bool:
        """Mention or reach what an expression stands for; False when that is not plain to see."""
        value = self._scope.resolve(node)
        if isinstance(value, External):
            self._search.mention(value.name, self._scope, node)
        self._search.reach(value)
        return value is not None
