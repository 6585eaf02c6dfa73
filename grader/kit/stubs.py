"""Cuts the students' skeleton out of the reference solution.

    python -m grader.kit.stubs            write cs336_basics/, adapters.py and answers.toml
    python -m grader.kit.stubs --check    exit with 1 and name the files that differ from what would be written

Every public module of `grader/reference/`, and of its packages, gives the module of the same name in
`cs336_basics/`. What is public keeps its signature, decorators and docstring, and its body becomes a
`raise NotImplementedError` that names the problem and the place. What is private (`_name`) goes, whole modules
included, and so do imports that nothing needs any more. The reference's adapters are handed out whole, as `adapters.py`
at the root, and its written answers as questions without them, as `answers.toml`.

Python's parser finds the places and the text is cut there, so that comments and formatting survive (the
reference is formatted by ruff, and so is what comes out) and nothing that is read gets imported. What cannot
be cut cleanly is an error here rather than a surprise for a student.
"""

import argparse
import ast
import io
import re
import sys
from collections.abc import Callable, Sequence, Set
from itertools import dropwhile
from pathlib import Path

from .paths import KIT

REFERENCE = "grader/reference"
SKELETON = "cs336_basics"
LINE_LENGTH = 120  # as in pyproject.toml

PACKAGE_DOCSTRING = '''\
"""Your language model: every function and class in here waits to be written by you.

A docstring says what to compute and ends with the id of its problem; `pytest tests/test_<problem>.py` checks
what you wrote. The tests reach it through `adapters.py`, one folder up, which is ready as long as you keep
the names of this skeleton.
"""
'''

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class StubError(Exception):
    """No skeleton can be cut from the reference as it is written; the message says where, and what to do."""


def skeleton(root: Path = KIT, package: str = SKELETON) -> dict[str, str]:
    """All generated files: path relative to `root` -> text.

    Args:
        package: what the students' package is called.
    """
    folder = root / REFERENCE
    if not folder.is_dir():
        raise StubError(f"There is no {folder}: only a staff copy of the kit can generate the skeleton.")
    files = {f"{package}/__init__.py": PACKAGE_DOCSTRING}
    for path in _modules(folder):
        name, source = path.relative_to(folder).as_posix(), renamed(path.read_text(encoding="utf-8"), package)
        if name == "adapters.py":
            files["adapters.py"] = student_adapters(source, package)
        elif path.name == "__init__.py":
            files[f"{package}/{name}"] = source
        else:
            files[f"{package}/{name}"] = stub_module(source, name, package)
    answers = folder / "answers.toml"
    if answers.is_file():
        files[answers.name] = unanswered(answers.read_text(encoding="utf-8"))
    return files


def renamed(text: str, package: str, before: str = SKELETON) -> str:
    """A text in which the students' package has another name."""
    return re.sub(rf"\b{before}\b", package, text)


def _modules(folder: Path) -> list[Path]:
    """The public modules of the reference; those of its packages with their `__init__`, which is a docstring."""
    packages = [path.parent for path in sorted(folder.glob("[a-z]*/__init__.py"))]
    found = [path for place in (folder, *packages) for path in sorted(place.glob("*.py"))]
    return [p for p in found if not p.name.startswith("_") or (p.name == "__init__.py" and p.parent != folder)]


def unanswered(source: str) -> str:
    """The written answers with an empty text in the place of each: the questions stay, in the comments."""
    return re.sub(r"^(\w+) = .*$", r'\1 = ""', source, flags=re.MULTILINE)


def student_adapters(source: str, package: str = SKELETON) -> str:
    """The reference's adapters, importing from the students' package: `.rope` becomes `cs336_basics.rope`."""
    lines = _lines(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            lines[node.lineno - 1] = lines[node.lineno - 1].replace("from .", f"from {package}.", 1)
    return "".join(lines)


def stub_module(source: str, filename: str, package: str = SKELETON) -> str:
    """The students' version of one module of the reference."""
    module = _Module(source, filename, package)
    # What stays decides which imports are needed, so the first cut is made without any.
    without_imports = ast.parse(module.cut(needed=set()))
    text = module.cut(needed={node.id for node in ast.walk(without_imports) if isinstance(node, ast.Name)})
    leaked = sorted(name for name in module.private_names() if re.search(rf"\b{name}\b", text))
    if leaked:
        raise StubError(
            f"{module.reference}: {', '.join(leaked)} is private and goes, but the skeleton would still "
            "mention it; make it public, or use it in bodies and in comments above private names only."
        )
    return text


class _Module:
    """A module of the reference, and how to cut it down. Texts are made of whole lines."""

    def __init__(self, source: str, filename: str, package: str) -> None:
        self.reference = f"{REFERENCE}/{filename}"
        self.skeleton = f"{package}/{filename}"
        self._lines = _lines(source)
        self._tree = ast.parse(source, self.reference)

    def private_names(self) -> set[str]:
        """The private names that the module defines, at whatever depth."""
        nodes = list(ast.walk(self._tree))
        names = {node.name for node in nodes if isinstance(node, Definition)}
        names |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        return {name for name in names if _is_private(name) and name.strip("_")}

    def cut(self, needed: Set[str]) -> str:
        """The skeleton's text, with those imports that bind a name in `needed`."""

        def shorten(node: ast.stmt) -> str | None:
            if isinstance(node, ast.Import | ast.ImportFrom):
                return self._import(node, needed)
            return self._statement(node, owner="", problem=None)

        if ast.get_docstring(self._tree) is None:
            raise StubError(f"{self.reference} has no docstring; say in a line what the module is about.")
        return self._header(self._tree) + self._members(self._tree, shorten)

    def _members(self, node: ast.Module | ast.ClassDef, shorten: Callable[[ast.stmt], str | None]) -> str:
        """What `shorten` keeps of the statements after the docstring, with the comments above each.

        Where something goes, the widest of the gaps around it stays, which is what the formatter would do.
        """
        docstring, *statements = node.body
        text, empty_lines, done = "", 0, _last_line(docstring)
        for statement in statements:
            gap = self._lines[done : _first_line(statement) - 1]
            comments = list(dropwhile(lambda line: not line.strip(), gap))
            empty_lines = max(empty_lines, len(gap) - len(comments))
            done = _last_line(statement)
            shortened = shorten(statement)
            if shortened is not None:
                text += "\n" * empty_lines + "".join(comments) + shortened
                empty_lines = 0
        return text

    def _import(self, node: ast.Import | ast.ImportFrom, needed: Set[str]) -> str | None:
        """The import of those names that are needed, or None when none is."""
        kept = [alias for alias in node.names if _bound_by(alias) in needed]
        if kept == node.names or (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            return self._text(node)
        if not kept:
            return None
        start = "import "
        if isinstance(node, ast.ImportFrom):
            start = f"from {'.' * node.level}{node.module or ''} import "
        names = [ast.unparse(alias) for alias in kept]
        line = start + ", ".join(names)
        if len(line) <= LINE_LENGTH:
            return f"{line}\n"
        return f"{start}(\n" + "".join(f"    {name},\n" for name in names) + ")\n"

    def _statement(self, node: ast.stmt, owner: str, problem: str | None) -> str | None:
        """What stays of a statement, or None. In a class, `owner` is "Name." and `problem` its own."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return None if _is_private(node.name) else self._definition(node, owner, problem)
            case ast.Assign(targets=[target]) | ast.AnnAssign(target=target):
                names = [part.id for part in ast.walk(target) if isinstance(part, ast.Name)]
                return None if all(map(_is_private, names)) else self._text(node)
            case ast.If(orelse=[]) if ast.unparse(node.test) == "__name__ == '__main__'":
                return self._text(node)
        raise StubError(
            f"{self.reference}:{node.lineno}: a skeleton is cut from imports, plain assignments, functions, "
            'classes and `if __name__ == "__main__":` only; move this statement into a function.'
        )

    def _definition(self, node: Definition, owner: str, problem: str | None) -> str:
        """The header, then the stub of a function or what stays of a class's members."""
        name = owner + node.name
        problem = self._problem(node, name) or problem
        if problem is None:
            raise StubError(
                f"{self.reference}:{node.lineno}: {name} belongs to no problem; end its docstring with a "
                "line 'Problem: <id>'."
            )
        if isinstance(node, ast.ClassDef):
            body = self._members(node, lambda member: self._statement(member, f"{name}.", problem))
        else:
            body = _stub(f"{problem}: write {name} ", f"in {self.skeleton}", indent=node.col_offset + 4)
        return self._header(node) + body

    def _problem(self, node: Definition, name: str) -> str | None:
        """The id on the docstring's last line, if any. Only `__init__` and its like need no docstring."""
        docstring = ast.get_docstring(node)
        if docstring is None:
            if node.name.startswith("__"):
                return None
            raise StubError(
                f"{self.reference}:{node.lineno}: {name} has no docstring, and that is all a student sees of "
                "it; say what it computes, with shapes and errors."
            )
        found = re.fullmatch(r"Problem: (\w+)", docstring.splitlines()[-1])
        return found[1] if found else None

    def _header(self, node: ast.Module | Definition) -> str:
        """Decorators, signature and docstring; of a module, all up to the end of the docstring."""
        first = 1 if isinstance(node, ast.Module) else _first_line(node)
        if ast.get_docstring(node) is not None:
            return "".join(self._lines[first - 1 : _last_line(node.body[0])])
        signature = self._lines[first - 1 : _first_line(node.body[0]) - 1]
        while signature[-1].strip().startswith("#"):  # a comment on the body
            signature.pop()
        return "".join(signature)

    def _text(self, node: ast.stmt) -> str:
        return "".join(self._lines[_first_line(node) - 1 : _last_line(node)])


def _stub(task: str, place: str, indent: int) -> str:
    """The statement that stands for a body, laid out as the formatter does: on one line, three, or four."""
    margin = " " * indent
    line = f'{margin}raise NotImplementedError("{task}{place}")'
    argument = f'{margin}    "{task}{place}"'
    if len(line) <= LINE_LENGTH:
        return f"{line}\n"
    if len(argument) > LINE_LENGTH:
        argument = f'{margin}    "{task}"\n{margin}    "{place}"'
    return f"{margin}raise NotImplementedError(\n{argument}\n{margin})\n"


def _lines(source: str) -> list[str]:
    """The lines as Python counts them; `str.splitlines` would also split at form feeds and the like."""
    return list(io.StringIO(source))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def _bound_by(alias: ast.alias) -> str:
    """The name that an import binds: `import os.path` binds `os`."""
    return alias.asname or alias.name.partition(".")[0]


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min(part.lineno for part in [node, *decorators])


def _last_line(node: ast.stmt) -> int:
    assert node.end_lineno is not None  # the parser always sets it
    return node.end_lineno


def main(arguments: Sequence[str] | None = None, root: Path = KIT) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m grader.kit.stubs",
        description="Generate the students' skeleton from the reference solution.",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 1 if a file is not as it would be written",
    )
    check = parser.parse_args(arguments).check
    try:
        files = skeleton(root)
    except (StubError, SyntaxError) as error:
        print(error, file=sys.stderr)
        return 1

    current = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for path in [root / "adapters.py", root / "answers.toml", *sorted((root / SKELETON).rglob("*.py"))]
        if path.exists()
    }
    drifted = [name for name, text in files.items() if current.get(name) != text]
    leftover = [name for name in current if name not in files]
    for name in drifted:
        if not check:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(files[name], encoding="utf-8", newline="\n")
        print(f"{name} differs from the reference; run `make stubs`." if check else f"{name} written.")
    for name in leftover:
        print(f"{name} has no counterpart in {REFERENCE}; delete it.")
    return int(bool(leftover or (check and drifted)))


if __name__ == "__main__":
    sys.exit(main())
