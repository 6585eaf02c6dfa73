"""Find a submission: its adapters, and from where it imports. Nothing of it is run, and no torch is loaded."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .archive import SUFFIXES
from .complaints import Refused
from .worker.loader import Layout

_SEARCH_DEPTH = 3
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
    root = Path(path).resolve()
    named = named or os.fspath(path)
    if not root.is_dir():
        kind = "a file" if root.exists() else "not there"
        raise SubmissionNotFound(
            f"{named} is {kind}; name the folder that holds adapters.py, or an archive of it ({', '.join(SUFFIXES)})."
        )
    for depth in range(_SEARCH_DEPTH + 1):
        found = [file for folder in _folders(root, depth) if (file := _adapters_in(folder))]
        if len(found) == 1:
            return _layout(found[0])
        if found:
            listed = ", ".join(os.path.relpath(file, root) for file in found)
            raise SubmissionNotFound(f"{named} holds several submissions ({listed}); name the folder of one of them.")
    raise SubmissionNotFound(
        f"no adapters.py and no tests/adapters.py in {named}; a submission connects its code to the tests "
        "there. Copy adapters.py from the skeleton into the folder, or name another folder."
    )


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """Folders exactly `depth` levels below `root`, in name order, without hidden and installed ones."""
    if depth == 0:
        yield root
        return
    for child in sorted(root.iterdir()):
        if (
            child.is_dir()
            and not child.is_symlink()
            and not child.name.startswith(".")
            and child.name not in _SKIPPED_FOLDERS
            and not (child / "pyvenv.cfg").exists()
        ):
            yield from _folders(child, depth - 1)


def _adapters_in(folder: Path) -> Path | None:
    for file in (folder / "adapters.py", folder / "tests" / "adapters.py"):
        if file.is_file() and not (file.parent == folder and folder.name == "tests"):
            return file
    return None


def _layout(adapters: Path) -> Layout:
    try:
        source = adapters.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise SubmissionNotFound(
            f"{adapters} is not UTF-8 text (byte {error.start}); save it as UTF-8 and try again."
        ) from error
    except OSError as error:
        raise SubmissionNotFound(f"{adapters} cannot be read: {error.strerror}.") from error
    in_tests = adapters.parent.name == "tests"
    root = adapters.parent.parent if in_tests else adapters.parent
    settings = _read_settings(root)
    package = "tests" if in_tests else ""
    if not in_tests and _imports_relatively(source):
        package = root.name if root.name.isidentifier() else "submission"
    project = settings.get("project", {})
    name = project.get("name")
    packages = [child.name for child in root.iterdir() if (child / "__init__.py").is_file()]
    return Layout(
        root=str(root),
        adapters=os.path.relpath(adapters, root),
        package=package,
        import_path=tuple(_import_path(root, settings, in_tests)),
        distributions=tuple(dict.fromkeys(n for n in ("cs336_basics", name, *packages) if isinstance(n, str) and n)),
        requires_python=str(project.get("requires-python", "")),
    )


def _read_settings(root: Path) -> dict[str, Any]:
    """The submission's pyproject.toml; one that cannot be read says nothing."""
    try:
        return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}


def _import_path(root: Path, settings: dict[str, Any], in_tests: bool) -> Iterator[str]:
    tool = settings.get("tool", {})
    named = [
        *_strings(tool, "pytest", "ini_options", "pythonpath"),
        *_strings(tool, "setuptools", "packages", "find", "where"),
        *_strings(tool, "uv", "build-backend", "module-root"),
        "src",
        *(["tests"] if in_tests else []),
    ]
    for folder in dict.fromkeys(named):
        resolved = (root / folder).resolve()
        if resolved != root and resolved.is_relative_to(root) and resolved.is_dir():
            yield str(resolved)


def _strings(table: Any, *keys: str) -> list[str]:
    for key in keys:
        table = table.get(key, {}) if isinstance(table, dict) else {}
    values = table.split() if isinstance(table, str) else table
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _imports_relatively(source: str) -> bool:
    """Whether a module has relative imports and so must be imported as part of a package."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the worker's import will say what is wrong
        return bool(re.search(r"^\s*from\s+\.", source, re.MULTILINE))
    return any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))
