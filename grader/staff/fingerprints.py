"""What a submission's code looks like when names, comments, order of functions and layout are taken away.

Each function becomes a sequence of the kinds of its syntax tree's nodes; names of what a library has stay, names that
the author chose do not. Of each run of `GRAM` nodes a hash is taken, and of each `WINDOW` hashes in a row the smallest
is kept (winnowing; Schleimer, Wilkerson and Aiken 2003, doi:10.1145/872757.872770): whatever two functions share over
GRAM + WINDOW - 1 nodes leaves a hash in both.

Sources are somebody else's, and parsing them may take a parser down. So this runs in a process of its own:
`python -m grader.staff.fingerprints SOURCE TARGET`.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..kit.handout import CONTENTS, STAFF_ONLY
from ..kit.paths import KIT
from ..report.output import write_json
from ..submission.archive import is_archive, unpacked
from ..submission.files import read_source

GRAM, WINDOW = 24, 8
_SKIPPED_FOLDERS = {".git", ".venv", "venv", "env", "__pycache__", "node_modules", "site-packages", "build", "dist"}
_FILE_BYTES, _MOST_FILES = 1 << 20, 300
_MODULE = 8


@dataclass(frozen=True)
class Fingerprint:
    """One kept hash: the lines that it was made of, in a file of the submission."""

    hash: int
    file: str
    first: int
    last: int


def of_source(source: str, file: str) -> Iterator[Fingerprint]:
    """The fingerprints of one module; none where it is no Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the submission's own escapes
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
    for nodes in _pieces(tree):
        yield from _winnowed(list(nodes), file)


def _pieces(tree: ast.Module) -> Iterator[Iterator[tuple[str, int]]]:
    """Each function by itself, so that their order says nothing, and what is left of the module."""
    rest: list[ast.stmt] = []
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        statement = waiting.pop(0)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield _symbols(statement)
        elif isinstance(statement, ast.ClassDef):
            waiting[:0] = statement.body
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            rest.append(statement)
    yield (symbol for statement in rest for symbol in _symbols(statement))


def _symbols(root: ast.AST) -> Iterator[tuple[str, int]]:
    """(kind, line) of each node, parents first, without docstrings and annotations."""
    stack: list[tuple[ast.AST, int]] = [(root, getattr(root, "lineno", 0))]
    while stack:
        node, line = stack.pop()
        line = getattr(node, "lineno", line)
        match node:
            case ast.expr_context() | ast.Expr(value=ast.Constant()):  # what is read or stored; docstrings
                continue
            case ast.Attribute(value=ast.Name(id="self")):
                yield "self", line
                continue
            case ast.Attribute(attr=name):
                yield f".{name}", line
            case ast.Constant(value=value):
                yield type(value).__name__, line
            case _:
                yield type(node).__name__, line
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            children = [node.args, *node.body]
        elif isinstance(node, ast.arg):
            children = []
        elif isinstance(node, ast.AnnAssign):
            children = [node.target, *([node.value] if node.value else [])]
        stack.extend((child, line) for child in reversed(children))


def _winnowed(symbols: list[tuple[str, int]], file: str) -> Iterator[Fingerprint]:
    kinds = [kind for kind, _ in symbols]
    hashes = [_hash(kinds[at : at + GRAM]) for at in range(len(kinds) - GRAM + 1)]
    last = -1
    for start in range(max(1, len(hashes) - WINDOW + 1) if hashes else 0):
        window = range(start, min(start + WINDOW, len(hashes)))
        smallest = min(window, key=lambda at: (hashes[at], -at))
        if smallest != last:
            last = smallest
            lines = [line for _, line in symbols[smallest : smallest + GRAM]]
            yield Fingerprint(hashes[smallest], file, min(lines), max(lines))


def _hash(kinds: Iterable[str]) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(kinds).encode(), digest_size=_MODULE).digest(), "big") >> 11


def handed_out() -> frozenset[str]:
    """The digests of the modules that students get with the kit."""
    tops = [KIT / name for name in CONTENTS]
    paths = [path for top in tops for path in (top.rglob("*.py") if top.is_dir() else [top])]
    staffs = [KIT / "grader" / name for name in STAFF_ONLY]
    return frozenset(
        _digest(path.read_text("utf-8"))
        for path in paths
        if path.suffix == ".py" and not any(path.is_relative_to(one) for one in staffs)
    )


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


def of_stubs() -> frozenset[int]:
    """The hashes of the handed-out stubs, which are filled in place, so that each submission has some of them."""
    found = [*of_folder(KIT / "cs336_basics"), *of_source((KIT / "adapters.py").read_text("utf-8"), "adapters.py")]
    return frozenset(one.hash for one in found)


def of_folder(folder: Path, left_out: Collection[str] = ()) -> list[Fingerprint]:
    """The fingerprints of all modules below a folder, but for those with these digests; no link is followed."""
    found: list[Fingerprint] = []
    count = 0
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS)
        for name in sorted(files):
            path = Path(here, name)
            if not name.endswith(".py") or count == _MOST_FILES:
                continue
            with contextlib.suppress(OSError, UnicodeDecodeError):
                source = read_source(path, _FILE_BYTES, folder)
                if _digest(source) in left_out:
                    continue
                count += 1
                found += of_source(source, path.relative_to(folder).as_posix())
    return found


def of_submission(source: Path) -> list[Fingerprint]:
    """The fingerprints of a submission, folder or archive.

    Raises:
        ArchiveRefused: the archive cannot be opened.
    """
    with unpacked(source) if is_archive(source) else contextlib.nullcontext(source) as folder:
        return of_folder(folder, handed_out())


def write_fingerprints(found: Iterable[Fingerprint], path: Path) -> None:
    """Write them, so that they appear as a whole."""
    write_json({"fingerprints": [list(asdict(one).values()) for one in found]}, path)


def read_fingerprints(path: Path) -> list[Fingerprint]:
    """What was written.

    Raises:
        OSError, ValueError, KeyError, TypeError: it was not.
    """
    return [Fingerprint(*row) for row in json.loads(path.read_text("utf-8"))["fingerprints"]]


def main() -> int:
    """Take the fingerprints of one submission."""
    source, target = map(Path, sys.argv[1:])
    write_fingerprints(of_submission(source), target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
