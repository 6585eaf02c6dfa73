"""Find a submission: its adapters, and from where it imports. Nothing of it is run, and no torch is loaded."""

from __future__ import annotations

import ast
import os
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from ..errors import Refused
from ..worker.loader import Layout
from .archive import SUFFIXES
from .files import entries, is_file, read_source

_SEARCH_DEPTH = 3
_SOURCE_LIMIT = 1 << 20  # bytes
_PATH_LENGTH, _NAME_LENGTH = 1000, 100
_LISTED = 6
_SKIPPED_FOLDERS = {"node_modules", "site-packages", "__pycache__", "build", "dist"}


class SubmissionNotFound(Refused):
    """There is nothing to grade at a path; the message says what was looked for."""


def locate(path: str | os.PathLike[str], named: str | None = None) -> Layout:
    """Find the adapters of the submission at `path` without importing anything of it.

    Args:
        named: what messages call the submission; its path unless given.

    `adapters.py` in the folder itself comes first, then `tests/adapters.py`, then the same in subfolders up to
    three levels down (archives often add a folder or two); the least deep one wins.

    Raises:
        SubmissionNotFound: no such folder, no adapters, several equally near, or a file that is not text.
    """
    root = Path(os.path.realpath(path))
    named = named or os.fspath(path)
    if not root.is_dir():
        kind = "a file" if root.exists() else "not there"
        raise SubmissionNotFound(
            f"{named} is {kind}; name the folder that holds adapters.py, or an archive of it ({', '.join(SUFFIXES)})."
        )
    try:
        next(os.scandir(root), None)
    except OSError as error:
        raise SubmissionNotFound(f"{named} cannot be read: {error.strerror}.") from error
    for depth in range(_SEARCH_DEPTH + 1):
        found = [file for folder in _folders(root, depth) if (file := _adapters_in(folder))]
        if len(found) == 1:
            return _layout(found[0], root)
        if found:
            raise SubmissionNotFound(_several(named, [os.path.relpath(file, root) for file in found]))
    raise SubmissionNotFound(
        f"no adapters.py and no tests/adapters.py in {named}. A submission needs one: it connects the code to the "
        "tests. Copy adapters.py from the skeleton into the folder, or name another folder."
    )


def _several(named: str, adapters: Sequence[str]) -> str:
    """What to type when there are several submissions."""
    folders = [os.path.dirname(name.removesuffix(os.path.join("tests", "adapters.py"))) or "." for name in adapters]
    listed = ", ".join(adapters[:_LISTED]) + (f" and {len(adapters) - _LISTED} more" if len(adapters) > _LISTED else "")
    return (
        f"{named} holds several submissions ({listed}). Name the folder of one of them: "
        f"python -m grader {shlex.quote(named)} --root {shlex.quote(folders[0])}"
    )


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """Folders exactly `depth` levels below `root`, in name order, without hidden, installed and unreadable ones."""
    if depth == 0:
        yield root
        return
    for child in entries(root):
        if (
            child.is_dir()
            and not child.is_symlink()
            and not child.name.startswith(".")
            and child.name not in _SKIPPED_FOLDERS
            and not is_file(child / "pyvenv.cfg")
        ):
            yield from _folders(child, depth - 1)


def _adapters_in(folder: Path) -> Path | None:
    for file in (folder / "adapters.py", folder / "tests" / "adapters.py"):
        if is_file(file) and not (file.parent == folder and folder.name == "tests"):
            return file
    return None


def _layout(adapters: Path, top: Path) -> Layout:
    """How to import these adapters; `top` is the folder that was handed in, and nothing above it belongs to it."""
    try:
        source = read_source(adapters, _SOURCE_LIMIT, top)
    except UnicodeDecodeError as error:
        raise SubmissionNotFound(
            f"{adapters} is not UTF-8 text (byte {error.start}); save it as UTF-8 and try again."
        ) from error
    except OSError as error:
        raise SubmissionNotFound(f"{adapters} cannot be read: {error.strerror}.") from error
    in_tests = adapters.parent.name == "tests"
    home = adapters.parent.parent if in_tests else adapters.parent
    imports = _imports(source)
    package = "tests" if in_tests else ""
    if not in_tests and "" in imports:
        package = home.name if home.name.isidentifier() else "submission"
    root, above = home, []
    if _import_their_own_package(imports, home):
        package = package or home.name
        if home != top:
            root, above = _project(home, top), [str(home.parent), str(home)]
    settings = _read_settings(root, top)
    project = _table(settings, "project")
    packages = [child.name for child in entries(root) if is_file(child / "__init__.py")]
    distributions = [name for name in ("cs336_basics", project.get("name"), *packages) if _is_name(name)]
    return Layout(
        root=str(root),
        adapters=os.path.relpath(adapters, root),
        package=package,
        import_path=tuple(dict.fromkeys([*_import_path(root, settings, in_tests, home), *above])),
        distributions=tuple(dict.fromkeys(distributions)),
        requires_python=str(project.get("requires-python", ""))[:_NAME_LENGTH],
    )


def _project(package: Path, top: Path) -> Path:
    """The folder of the project that a package belongs to: where its pyproject.toml is, or the one that it lies in."""
    for folder in package.parents:
        if is_file(folder / "pyproject.toml"):
            return folder
        if folder == top:
            break
    return package.parent


def _read_settings(root: Path, top: Path) -> dict[str, Any]:
    """The submission's pyproject.toml; one that cannot be read says nothing."""
    try:
        return tomllib.loads(read_source(root / "pyproject.toml", _SOURCE_LIMIT, top))
    except (OSError, ValueError, RecursionError):  # not UTF-8 and not TOML are values, too
        return {}


def _table(settings: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings if isinstance(settings, dict) else {}


def _is_name(name: Any) -> TypeGuard[str]:
    """Whether something can be the name of a distribution."""
    return isinstance(name, str) and len(name) <= _NAME_LENGTH and re.fullmatch(r"\w[\w.-]*", name) is not None


def _import_path(root: Path, settings: dict[str, Any], in_tests: bool, home: Path) -> Iterator[str]:
    named = [
        *_strings(settings, "tool", "pytest", "ini_options", "pythonpath"),
        *_strings(settings, "tool", "setuptools", "packages", "find", "where"),
        *_strings(settings, "tool", "uv", "build-backend", "module-root"),
        "src",
        *([os.path.relpath(home / "tests", root)] if in_tests else []),
    ]
    for folder in dict.fromkeys(named):
        if "\0" in folder or len(folder) > _PATH_LENGTH:
            continue
        resolved = Path(os.path.realpath(root / folder))
        if resolved != root and resolved.is_relative_to(root) and resolved.is_dir():
            yield str(resolved)


def _strings(table: Any, *keys: str) -> list[str]:
    for key in keys:
        table = table.get(key, {}) if isinstance(table, dict) else {}
    values = table.split() if isinstance(table, str) else table
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _imports(source: str) -> set[str]:
    """Dotted names of what a module imports, anywhere in it; "" for what it imports relatively."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the worker's import will say what is wrong
        return set(re.findall(r"^\s*(?:from|import)\s+([\w.]+)", source, re.MULTILINE)).union(
            [""] if re.search(r"^\s*from\s+\.", source, re.MULTILINE) else []
        )
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" if not node.level else "" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def _import_their_own_package(imports: Iterable[str], home: Path) -> bool:
    """Whether a folder is a package that its own adapters import by name, and not one of that name inside it."""
    if (home / home.name).exists() or is_file(home / f"{home.name}.py"):
        return False
    parts = (name.split(".") for name in imports)
    within = [rest[0] if rest else "" for first, *rest in parts if first == home.name]
    return bool(within) and (
        is_file(home / "__init__.py")
        or any((home / name).is_dir() or is_file(home / f"{name}.py") for name in within if name)
    )
