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


_TYPING_SINCE = {"override": (3, 12), "TypeAliasType": (3, 12), "ReadOnly": (3, 13), "TypeIs": (3, 13)}
_NEW_SYNTAX = re.compile(r"^\s*(?:type\s+\w+|(?:def|class)\s+\w+\s*\[)", re.MULTILINE)


def explain_import_error(error: BaseException, layout: Layout) -> str:
    """Say in one or two sentences why the adapters could not be imported, and what to do about it."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if Path(layout.root, package).exists() or Path(layout.root, f"{package}.py").exists():
            return f"importing {layout.adapters} failed: {error.name!r} does not exist in this submission."
        return (
            f"importing {layout.adapters} failed: the package {package!r} is not installed here. "
            "Remove the import, or move it into the function that needs it."
        )
    if isinstance(error, SyntaxError):
        needs = _needs_newer_python(error)
        place = f"{_relative(error.filename, layout.root)}:{error.lineno}"
        if needs:
            return f"{place} is written for Python {needs} or later; this is Python {here}: {error.msg}."
        return f"importing {layout.adapters} failed: {place}: {type(error).__name__}: {error.msg}."
    if isinstance(error, ImportError):
        match = re.search(r"cannot import name '(\w+)' from 'typing'", str(error))
        if match and _TYPING_SINCE.get(match[1], (0, 0)) > sys.version_info[:2]:
            major, minor = _TYPING_SINCE[match[1]]
            return (
                f"importing {layout.adapters} failed: typing.{match[1]} exists from Python {major}.{minor} on; "
                f"this is Python {here}. Grade it with `python{major}.{minor} -m grader`."
            )
    if isinstance(error, SystemExit):
        return f"importing {layout.adapters} ended the program (sys.exit({error.code!r})). Remove that call."
    needed = f" It asks for Python {layout.requires_python}." if layout.requires_python else ""
    return f"importing {layout.adapters} failed: {type(error).__name__}: {error}.{needed}"


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
