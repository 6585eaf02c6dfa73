"""Import a submission's adapters the way its author's own test run did.

Real submissions expect three things of the process that imports them: the working directory is their root, their root
(and `src/`, and whatever their `pyproject.toml` names) is importable, and `importlib.metadata.version` knows the
project although it was never installed. `import_adapters` arranges all three and then imports one module; what it
never touches is the submission's conftest, pytest settings or sitecustomize.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import tempfile
import types
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Layout:
    """Where a submission keeps its adapters, found without importing anything of it.

    root: the folder that is the working directory and the first entry of `sys.path`.
    adapters: the adapters file, relative to `root`.
    package: the package that the file belongs to ("" when it is a top-level module).
    import_path: further folders to import from, after `root`.
    distributions: names for which `importlib.metadata.version` must answer.
    requires_python: the version range in the submission's own `pyproject.toml`, or "".
    """

    root: str
    adapters: str
    package: str
    import_path: tuple[str, ...]
    distributions: tuple[str, ...]
    requires_python: str

    @property
    def module(self) -> str:
        """The dotted name under which the adapters are imported."""
        return f"{self.package}.adapters" if self.package else "adapters"

    def as_plain(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "import_path": list(self.import_path),
            "distributions": list(self.distributions),
        }

    @classmethod
    def from_plain(cls, fields: dict[str, Any]) -> Layout:
        return cls(
            **{
                **fields,
                "import_path": tuple(fields["import_path"]),
                "distributions": tuple(fields["distributions"]),
            }
        )


def import_adapters(layout: Layout) -> types.ModuleType:
    """Import the adapters module of a submission into this process.

    Raises:
        whatever the submission's import raises; see `explain_import_error` for the words to put it in.
    """
    os.chdir(layout.root)
    for folder in reversed((layout.root, *layout.import_path)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    _provide_metadata(layout.distributions)
    if layout.package:
        _provide_package(layout)
    return importlib.import_module(layout.module)


def _provide_package(layout: Layout) -> None:
    """Make `package` mean the submission's own folder.

    A `tests` folder without `__init__.py` would lose against any installed package of that name, and a root that is
    itself a package has its parent nowhere on `sys.path`.
    """
    folder = Path(layout.root, layout.adapters).parent
    init = folder / "__init__.py"
    if init.is_file():
        spec = importlib.util.spec_from_file_location(layout.package, init, submodule_search_locations=[str(folder)])
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules[layout.package] = package
        spec.loader.exec_module(package)
    else:
        package = types.ModuleType(layout.package)
        package.__path__ = [str(folder)]
        sys.modules[layout.package] = package


def _provide_metadata(names: Iterable[str]) -> None:
    """Let `importlib.metadata.version(name)` answer for distributions that are not installed here."""
    missing = [name for name in names if not _is_installed(name)]
    if not missing:
        return
    folder = Path(tempfile.mkdtemp(prefix="metadata-"))
    for name in missing:
        info = folder / f"{re.sub(r'[-_.]+', '_', name)}-1.0.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n", "utf-8")
    sys.path.append(str(folder))
    importlib.invalidate_caches()


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


_SINCE = {
    ("itertools", "batched"): (3, 12),
    ("typing", "override"): (3, 12),
    ("typing", "TypeAliasType"): (3, 12),
    ("typing", "ReadOnly"): (3, 13),
    ("typing", "TypeIs"): (3, 13),
    ("warnings", "deprecated"): (3, 13),
}
_LACKING = re.compile(r"cannot import name '(?P<name>\w+)' from '(?P<module>\w+)'")
_NEW_SYNTAX = re.compile(r"^\s*(?:type\s+\w+|(?:def|class)\s+\w+\s*\[)", re.MULTILINE)


def explain_import_error(error: BaseException, layout: Layout) -> str:
    """Say in one or two sentences why the adapters could not be imported, and what to do about it."""
    failed = f"importing {layout.adapters} failed:"
    if said := explain_by_place(error, layout):
        return said if isinstance(error, SyntaxError) and _needs_newer_python(error) else f"{failed} {said}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if Path(layout.root, package).exists() or Path(layout.root, f"{package}.py").exists():
            return f"{failed} {error.name!r} does not exist in this submission."
        return (
            f"{failed} the package {package!r} is not installed here. "
            "Remove the import, or move it into the function that needs it."
        )
    if isinstance(error, SystemExit):
        return f"importing {layout.adapters} ended the program (sys.exit({error.code!r})). Remove that call."
    needed = f" It asks for Python {layout.requires_python}." if _asks_for_another(layout.requires_python) else ""
    return f"{failed} {type(error).__name__}: {error}.{needed}"


def explain_by_place(error: BaseException, layout: Layout) -> str:
    """What is wrong with a file or a name of the submission that was imported, now or in a call; "" for anything else.

    That is syntax, of this Python or a newer one; a name of the standard library that this Python has not yet; and a
    module of the submission's that is spelt in other letters.
    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if isinstance(error, SyntaxError) and isinstance(error.filename, str) and error.filename.startswith(layout.root):
        place = f"{_relative(error.filename, layout.root)}:{error.lineno}"
        if needs := _needs_newer_python(error):
            return f"{place} is written for Python {needs} or later; this is Python {here}: {error.msg}."
        return f"{place}: {type(error).__name__}: {error.msg}."
    if isinstance(error, ModuleNotFoundError):
        return _in_other_letters(error.name, layout) if isinstance(error.name, str) else ""
    if isinstance(error, ImportError) and (found := _LACKING.search(str(error))):
        since = _SINCE.get((found["module"], found["name"]), (0, 0))
        if since > sys.version_info[:2]:
            return (
                f"{found['module']}.{found['name']} exists from Python {since[0]}.{since[1]} on; "
                f"this is Python {here}. Grade it with `python{since[0]}.{since[1]} -m grader`."
            )
    return ""


def _in_other_letters(module: str, layout: Layout) -> str:
    """That a module exists, but with capital letters where it was asked for with small ones, or the other way round."""
    folders = [Path(layout.root), *map(Path, layout.import_path)]
    for part in module.split("."):
        found = [entry for folder in folders for entry in _entries(folder) if entry.stem.lower() == part.lower()]
        exact = [entry for entry in found if entry.stem == part]
        if found and not exact:
            return (
                f"{module!r} is {_relative(str(found[0]), layout.root)!r} in this submission: "
                "the case of letters matters here, as it does not on macOS and Windows. Spell both alike."
            )
        folders = [entry for entry in exact if entry.is_dir()]
    return ""


def _entries(folder: Path) -> list[Path]:
    """Modules and packages in a folder."""
    try:
        return sorted(entry for entry in folder.iterdir() if entry.suffix == ".py" or entry.is_dir())
    except OSError:
        return []


def _asks_for_another(required: str) -> bool:
    """Whether a range such as ">=3.12,<4" (PEP 440, its usual part) leaves out this Python."""
    here = sys.version_info[:3]
    for clause in required.split(","):
        match = re.fullmatch(r"\s*(>=|<=|>|<|==|!=|~=)\s*(\d+(?:\.\d+){0,2})(\.\*)?\s*", clause)
        if match is None:
            continue
        operator, wanted = match[1], tuple(map(int, match[2].split(".")))
        part = here[: len(wanted)]
        if operator == "~=":
            fits = here >= wanted and here[: len(wanted) - 1] == wanted[:-1]
        elif operator in (">=", "<"):
            fits = (part >= wanted) == (operator == ">=")
        elif operator in (">", "<="):
            fits = (part > wanted) == (operator == ">")
        else:
            fits = (part == wanted) == (operator == "==")
        if not fits:
            return True
    return False


def _needs_newer_python(error: SyntaxError) -> str:
    """The Python version whose syntax a file uses, when that is why this interpreter rejects it."""
    if sys.version_info >= (3, 12) or not error.filename:
        return ""
    try:
        source = Path(error.filename).read_text("utf-8")
        ast.parse(source)
    except SyntaxError:
        line = source.splitlines()[(error.lineno or 1) - 1 : error.lineno or 1]
        if _NEW_SYNTAX.match("".join(line)) or "f-string" in (error.msg or ""):
            return "3.12"
    except (OSError, UnicodeDecodeError):
        pass
    return ""


def _relative(filename: str | None, root: str) -> str:
    if not filename:
        return "?"
    return os.path.relpath(filename, root) if filename.startswith(root) else filename
