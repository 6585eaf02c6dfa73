"""Import a submission's adapters the way its author's own test run did.

Real submissions expect three things of the process that imports them: the working directory is their root, their root
(and `src/`, and whatever their `pyproject.toml` names) is importable, and `importlib.metadata.version` knows the
project although it was never installed. `import_adapters` arranges all three and then imports one module; what it
never touches is the submission's conftest, pytest settings or sitecustomize.
"""

from __future__ import annotations

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

_MOST_FOLDERS = 5000
"""So many are searched for a package that lies where Python does not look."""


@dataclass(frozen=True)
class Environment:
    """What runs a submission, where that is not only the Python and the packages that run the grader.

    python: the interpreter, and its version as in "3.12"; path: what it imports from, the submission's own folders
    apart; folders: what else must be readable for that.
    """

    python: str
    version: str
    path: tuple[str, ...]
    folders: tuple[str, ...]

    def as_plain(self) -> dict[str, Any]:
        return {**asdict(self), "path": list(self.path), "folders": list(self.folders)}

    @classmethod
    def from_plain(cls, fields: dict[str, Any]) -> Environment:
        return cls(fields["python"], fields["version"], tuple(fields["path"]), tuple(fields["folders"]))


@dataclass(frozen=True)
class Layout:
    """Where a submission keeps its adapters, found without importing anything of it.

    root: the folder that is the working directory and the first entry of `sys.path`.
    adapters: the adapters file, relative to `root`.
    package: the package that the file belongs to ("" when it is a top-level module).
    import_path: further folders to import from, after `root`.
    distributions: names for which `importlib.metadata.version` must answer.
    requires_python: the version range in the submission's own `pyproject.toml`, or "".
    environment: what runs it, when not the grader's own Python.
    """

    root: str
    adapters: str
    package: str
    import_path: tuple[str, ...]
    distributions: tuple[str, ...]
    requires_python: str
    environment: Environment | None = None

    @property
    def module(self) -> str:
        """The dotted name under which the adapters are imported."""
        return f"{self.package}.adapters" if self.package else "adapters"

    def as_plain(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "import_path": list(self.import_path),
            "distributions": list(self.distributions),
            "environment": self.environment and self.environment.as_plain(),
        }

    @classmethod
    def from_plain(cls, fields: dict[str, Any]) -> Layout:
        return cls(
            **{
                **fields,
                "import_path": tuple(fields["import_path"]),
                "distributions": tuple(fields["distributions"]),
                "environment": fields.get("environment") and Environment.from_plain(fields["environment"]),
            }
        )


def import_adapters(layout: Layout) -> types.ModuleType:
    """Import the adapters module of a submission into this process.

    Raises:
        whatever the submission's import raises; see `explain_import_error` for the words to put it in.
    """
    os.chdir(layout.root)
    folders = list(dict.fromkeys((layout.root, *layout.import_path)))
    # First, also where PYTHONPATH names them further down, below a kit whose stubs have the same names.
    sys.path[:] = [*folders, *(entry for entry in sys.path if entry not in folders)]
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


def explain_import_error(error: BaseException, layout: Layout) -> str:
    """Say in one or two sentences why the adapters could not be imported, and what to do about it."""
    failed = f"importing {layout.adapters} failed:"
    if said := explain_by_place(error, layout):
        return f"{failed} {said}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if Path(layout.root, package).exists() or Path(layout.root, f"{package}.py").exists():
            return f"{failed} {error.name!r} does not exist in this submission."
        if package in sys.modules and package != error.name:
            return f"{failed} {package!r} has no module {error.name.partition('.')[2]!r}."
        if places := _places_of(package, layout.root):
            return (
                f"{failed} {package!r} lies in {' and in '.join(places)}, where Python does not look for it. Move it "
                "beside tests/, or name its folder in pyproject.toml: pythonpath, below [tool.pytest.ini_options]."
            )
        return (
            f"{failed} the package {package!r} is not installed here. "
            "Remove the import, or move it into the function that needs it."
        )
    if isinstance(error, SystemExit):
        return f"importing {layout.adapters} ended the program (sys.exit({error.code!r})). Remove that call."
    return f"{failed} {type(error).__name__}: {error}."


def explain_by_place(error: BaseException, layout: Layout) -> str:
    """What is wrong with a file or a name of the submission that was imported, now or in a call; "" for anything else.

    That is syntax, and a module of the submission's that is spelt in other letters. What only this Python or this
    machine lacks is no fault of the code: see `lacking.py`.
    """
    if isinstance(error, SyntaxError) and isinstance(error.filename, str) and error.filename.startswith(layout.root):
        return f"{_relative(error.filename, layout.root)}:{error.lineno}: {type(error).__name__}: {error.msg}."
    if isinstance(error, ModuleNotFoundError):
        name = error.name if isinstance(error.name, str) else ""
        return _in_other_letters(name, layout) or _not_handed_in(name.partition(".")[0], layout)
    return ""


def _not_handed_in(package: str, layout: Layout) -> str:
    """That the submission's own package is no part of it, as where only the adapters were handed in."""
    own = {re.sub(r"[-_.]+", "_", name) for name in layout.distributions}
    places = [
        Path(folder, name) for folder in (layout.root, *layout.import_path) for name in (package, f"{package}.py")
    ]
    if package not in own or any(place.exists() for place in places) or _places_of(package, layout.root):
        return ""
    return f"{package!r}, the package of the submission's own code, is not in it. Hand in the whole folder, with that."


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


def _places_of(package: str, root: str) -> list[str]:
    """The folders of a submission that hold a package or module of this name, relative to its root; the first two."""
    found: list[str] = []
    for looked_at, (folder, folders, files) in enumerate(os.walk(root)):
        if looked_at == _MOST_FOLDERS or len(found) == 2:
            break
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "site-packages")
        if package in folders or f"{package}.py" in files:
            found.append(f"{os.path.relpath(folder, root)}/")
    return found


def _entries(folder: Path) -> list[Path]:
    """Modules and packages in a folder."""
    try:
        return sorted(entry for entry in folder.iterdir() if entry.suffix == ".py" or entry.is_dir())
    except OSError:
        return []


def _relative(filename: str | None, root: str) -> str:
    if not filename:
        return "?"
    return os.path.relpath(filename, root) if filename.startswith(root) else filename
