"""An environment made from a submission's own requirements, for its worker (`--environment own`).

A solution may import packages that the kit does not bring, and be written for a Python that the kit does not run on.
Its pyproject.toml or requirements.txt says which. Here they become a folder of packages that comes after the kit's own
on the worker's import path: torch, numpy and whatever else the kit has stay the kit's. Judge and examiners never import
from it.

The requirements are written by whoever is to be graded. So only plain names with versions, extras and markers are
taken; packages are wheels, which are unpacked and not run; and the folder is kept under a hash of what is in it, in the
user's cache, complete or not at all. uv does the work, and takes indexes and find-links from its own configuration and
from pip's.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from ..errors import Refused
from ..escape import visible
from ..kit.paths import KIT
from ..submission.faults import NothingToAssess, WrongResult
from ..submission.files import Files
from ..worker.loader import Environment, Layout
from ..worker.stand_ins import NAMES as STAND_INS
from .isolation import third_party_path
from .uv import NotInstalled, Uv, minor

MOST_REQUIREMENTS = 100
_FILE_BYTES = 256 << 10
_LOCK_BYTES = 4 << 20
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
_LOCKED = re.compile(r'^name = "([^"\n]{1,100})"\r?\nversion = "([^"\n]{1,60})"', re.MULTILINE)
_LONGEST_REQUIREMENT = 300
_PYTHON_LIMIT_S = 1200.0
"""Seconds to bring torch and the kit's other packages to another Python: up to several gigabytes."""
_PARTIAL_KEPT_S = 3600.0
_OLDEST_MINOR = 8
_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Wanted:
    """What a submission asks for.

    requirements: as pip writes them, in order, without those of the kit's; refused: {requirement: why it is not taken}.
    """

    requirements: tuple[str, ...]
    refused: dict[str, str]


@dataclass(frozen=True)
class Made:
    """The environment of one submission.

    environment: what runs it, or None where the kit's own does; python: its version; installed: packages with
    versions; missing: {requirement, or "Python ...": why it could not be had}; seconds: for making or finding it;
    reused: whether an earlier grade had made it.
    """

    environment: Environment | None
    python: str
    installed: tuple[str, ...]
    missing: dict[str, str]
    seconds: float
    reused: bool

    def as_json(self) -> dict[str, Any]:
        """What the report says about it."""
        fields = asdict(self)
        del fields["environment"]
        return {**fields, "installed": list(self.installed), "seconds": round(self.seconds, 2)}


def make_environment(layout: Layout) -> Made:
    """Make the environment that a submission asks for, or find the one of an earlier grade.

    Raises:
        Refused: there is no uv to make it with.
    """
    start = time.monotonic()
    uv = Uv.found()
    base, missing = _base(uv, layout)
    wanted = read_wanted(layout, base.has)
    packages = _packages(uv, base, wanted.requirements) if wanted.requirements else _NO_PACKAGES
    environment = Environment(base.python, base.version, (*base.path, *packages.path), base.folders)
    return Made(
        environment=None if base.python == sys.executable and not packages.path else environment,
        python=base.version,
        installed=packages.installed,
        missing={**missing, **wanted.refused, **packages.missing},
        seconds=time.monotonic() - start,
        reused=packages.reused,
    )


# ------------------------------------------------------------------------------------------------------------
# What is asked for


def read_wanted(layout: Layout, has: Collection[str] = ()) -> Wanted:
    """Read a submission's requirements as data.

    Args:
        has: canonical names that need no installing; nor does what the worker has a stand-in for.
    """
    files = Files(layout.root)
    settings = _settings(files)
    project = _table(settings, "project")
    left_out = {*map(canonicalize_name, (*layout.distributions, *STAND_INS)), *has}
    wanted: dict[str, None] = {}
    refused: dict[str, str] = {}
    texts = list(dict.fromkeys([*_listed(project), *_poetry(settings), *_lines(files)]))
    for text in texts[MOST_REQUIREMENTS:]:
        refused[_short(text)] = f"the grader looks at the first {MOST_REQUIREMENTS} requirements only"
    for text in texts[:MOST_REQUIREMENTS]:
        try:
            requirement = _plain(text)
        except ValueError as error:
            refused[_short(text)] = str(error)
            continue
        if canonicalize_name(requirement.name) not in left_out:
            wanted[str(requirement)] = None
    return Wanted(tuple(wanted), refused)


def versions_asked(files: Files, distribution: str) -> tuple[SpecifierSet, ...]:
    """The versions of a distribution that a submission was written for: what its lock file says, else its requirements.

    Several may be given, each for another system. What cannot be read says nothing.
    """
    name = canonicalize_name(distribution)
    for lock in _LOCKS:
        with contextlib.suppress(NothingToAssess, WrongResult):
            found = _LOCKED.findall(files.read_text(lock, _LOCK_BYTES))
            if locked := [version for package, version in found if canonicalize_name(package) == name]:
                return tuple(SpecifierSet(f"=={version}") for version in locked if _is_version(version))
    texts = [*_listed(_table(_settings(files), "project")), *_lines(files)][:MOST_REQUIREMENTS]
    requirements = []
    for text in texts:
        with contextlib.suppress(ValueError):
            requirements.append(_plain(text))
    return tuple(r.specifier for r in requirements if canonicalize_name(r.name) == name and r.specifier)


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _plain(text: str) -> Requirement:
    """The requirement that a text is, if it names a package and versions and nothing else.

    Raises:
        ValueError: it does not; the message says why.
    """
    if len(text) > _LONGEST_REQUIREMENT or not text.isprintable():
        raise ValueError("it is too long, or not plain text")
    if text.startswith("-"):
        raise ValueError("it is an option of pip; the grader takes only names and versions")
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise ValueError("it is not the name of a package with its versions") from None
    if requirement.url is not None:
        raise ValueError("it names an address; the grader installs only from an index")
    return requirement


def _settings(files: Files) -> dict[str, Any]:
    """The submission's pyproject.toml; one that cannot be read says nothing."""
    try:
        return tomllib.loads(files.read_text("pyproject.toml", _FILE_BYTES))
    except (NothingToAssess, WrongResult, ValueError, RecursionError):
        return {}


def _table(settings: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        value = settings.get(key)
        settings = value if isinstance(value, dict) else {}
    return settings


def _listed(project: dict[str, Any]) -> list[str]:
    listed = project.get("dependencies", [])
    return [text.strip() for text in listed if isinstance(text, str)] if isinstance(listed, list) else []


def _poetry(settings: dict[str, Any]) -> list[str]:
    """Names only: Poetry writes versions in a way of its own."""
    return [name for name in _table(settings, "tool", "poetry", "dependencies") if name != "python"]


def _lines(files: Files) -> Iterator[str]:
    with contextlib.suppress(NothingToAssess, WrongResult):
        for line in files.read_text("requirements.txt", _FILE_BYTES).splitlines():
            if text := re.sub(r"(^|\s)#.*", "", line).strip():
                yield text


def _short(text: str) -> str:
    return visible(text[:80])


# ------------------------------------------------------------------------------------------------------------
# Which Python runs it


@dataclass(frozen=True)
class _Base:
    """A Python with the kit's packages. has: canonical names of what is installed for it."""

    python: str
    version: str
    path: tuple[str, ...]
    folders: tuple[str, ...]
    has: frozenset[str]


def _kits_python() -> _Base:
    path = third_party_path()
    has = frozenset(canonicalize_name(d.name) for d in importlib.metadata.distributions(path=path) if d.name)
    return _Base(sys.executable, platform.python_version(), tuple(path), (), has)


def _base(uv: Uv, layout: Layout) -> tuple[_Base, dict[str, str]]:
    """The Python that a submission asks for, where it cannot be the kit's; and why it is the kit's nevertheless."""
    wanted = _python_wanted(layout)
    if wanted is None or _HERE in wanted:
        return _kits_python(), {}
    python = uv.find_python(wanted)
    if python is None:
        return _kits_python(), {f"Python {wanted}": "neither uv nor pyenv finds one on this machine"}
    try:
        return _other_python(uv, python), {}
    except NotInstalled as error:
        return _kits_python(), {
            f"Python {wanted}": f"torch and the kit's other packages could not be installed for it: {error}"
        }


def _python_wanted(layout: Layout) -> SpecifierSet | None:
    """The versions that a submission asks for: those of pyproject.toml, else of .python-version; None if it says none.

    What cannot be read as versions says nothing. Numbers are compared without a patch level, as in "3.12".
    """
    files = Files(layout.root)
    pinned = ""
    with contextlib.suppress(NothingToAssess, WrongResult):
        match = re.match(r"\s*(?:cpython-)?(3\.\d{1,2})\b", files.read_text(".python-version", 1000))
        pinned = f"=={match[1]}" if match and Version(match[1]) > Version(_HERE) else ""
    try:
        parts = [s for s in SpecifierSet(layout.requires_python) if s.operator in (">=", "==", "~=", "<", "<=", ">")]
        ranges = [f"{s.operator}{minor(s.version)}" for s in parts if s.operator in (">=", "<")]
        ranges += [f"=={minor(s.version)}" for s in parts if s.operator == "=="]
        ranges += [f">={minor(s.version)}" for s in parts if s.operator in ("~=", ">")]
        return SpecifierSet(pinned if pinned and _HERE in SpecifierSet(",".join(ranges)) else ",".join(ranges))
    except (InvalidSpecifier, InvalidVersion, ValueError):
        return None


def another_python(asked: str, have: str) -> tuple[int, int] | None:
    """The oldest Python 3 in the range that a pyproject.toml asks for, if `have` is not in it; else None."""
    try:
        wanted = SpecifierSet(asked)
    except InvalidSpecifier:
        return None
    minors = range(_OLDEST_MINOR, 100)
    return None if have in wanted else next(((3, minor) for minor in minors if f"3.{minor}.99" in wanted), None)


def _other_python(uv: Uv, python: str) -> _Base:
    """Another Python with the kit's packages, in the kit's versions where they exist for it.

    Raises:
        NotInstalled: when torch or another of them cannot be had.
    """
    kit = tomllib.loads((KIT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    key = _hash("python", python, *kit)

    def make(folder: Path) -> dict[str, Any]:
        uv.allow(_PYTHON_LIMIT_S)
        uv.run("venv", "--quiet", "--no-project", "--python", python, str(folder / "venv"))
        inside = folder / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        try:
            uv.install(kit, ["--python", str(inside), *_like_the_kits_torch()])
        except NotInstalled:
            if not _like_the_kits_torch():
                raise
            uv.install(kit, ["--python", str(inside)])
        return {}

    folder, _, _ = _cached(f"python-{key}", make)
    inside = folder / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    told = subprocess.run(
        [str(inside), "-I", "-c", _DESCRIBE], capture_output=True, text=True, check=True, timeout=60, cwd=folder
    ).stdout
    found = json.loads(told)
    has = frozenset(canonicalize_name(name) for name in found["has"] if name)
    return _Base(str(inside), found["version"], tuple(found["path"]), tuple(found["folders"]), has)


def _like_the_kits_torch() -> list[str]:
    """Options for a build of torch without CUDA where the kit's is one: it is a tenth as large."""
    return ["--torch-backend", "cpu"] if importlib.metadata.version("torch").endswith("+cpu") else []


_DESCRIBE = """
import importlib.metadata, json, os, sys
program, folders = sys.executable, [sys.prefix, sys.base_prefix, sys.base_exec_prefix]
while os.path.islink(program):
    program = os.path.join(os.path.dirname(program), os.readlink(program))
    folders.append(os.path.dirname(os.path.dirname(program)))
has = [d.metadata["Name"] for d in importlib.metadata.distributions()]
path, version = [entry for entry in sys.path if entry], "%d.%d.%d" % sys.version_info[:3]
print(json.dumps({"version": version, "path": path, "folders": folders, "has": has}))
"""


# ------------------------------------------------------------------------------------------------------------
# Packages


@dataclass(frozen=True)
class _Packages:
    """Packages in a folder. path: that folder, if there is one; the rest as in `Made`."""

    path: tuple[str, ...]
    installed: tuple[str, ...]
    missing: dict[str, str]
    reused: bool


_NO_PACKAGES = _Packages((), (), {}, reused=True)


def _packages(uv: Uv, base: _Base, requirements: Sequence[str]) -> _Packages:
    """A folder with these packages and what they need."""
    key = _hash("packages", base.python, base.version, platform.platform(), *sorted(base.has), *requirements)

    def make(folder: Path) -> dict[str, Any]:
        # What the base has is neither installed anew nor held against a package that asks for another version of it.
        never = [f"{name} ; python_version < '0'" for name in sorted(base.has.union(STAND_INS))]
        pins, failed = _resolve(uv, base.python, requirements, never)
        if pins:
            # Copies: without a sandbox a submission can write there, and must not reach into uv's own cache.
            target = ["--link-mode", "copy", "--no-deps", "--target", str(folder / "packages"), "--python", base.python]
            uv.install(pins, target)
        (folder / "packages").mkdir(exist_ok=True)
        return {"installed": [pin.replace("==", " ") for pin in pins], "missing": failed}

    try:
        folder, said, reused = _cached(f"packages-{key}", make)
    except NotInstalled as error:
        raise Refused(f"--environment own: {error}") from None
    return _Packages((str(folder / "packages"),), tuple(said["installed"]), said["missing"], reused)


def _resolve(
    uv: Uv, python: str, requirements: Sequence[str], never: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """Exact versions for as many requirements as can be met together, and why the others cannot."""
    try:
        return uv.resolve(requirements, python, never), {}
    except NotInstalled as error:
        if len(requirements) == 1:
            return [], {requirements[0]: str(error)}
    failed: dict[str, str] = {}
    taken: list[str] = []
    for requirement in requirements:
        try:
            uv.resolve([*taken, requirement], python, never)
            taken.append(requirement)
        except NotInstalled as error:
            failed[requirement] = str(error)
    return (uv.resolve(taken, python, never) if taken else []), failed


def _cached(name: str, make: Any) -> tuple[Path, dict[str, Any], bool]:
    """The folder of this name in the cache, made unless it is there; what `make` said of it; whether it was there.

    It is made beside its place and moved there whole, so that two grades at once end with one of two equal folders.
    What is incomplete is tried again after an hour: the index may have been out of reach.
    """
    place = _cache() / name
    if said := _said(place):
        return place, said, True
    making = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=place.parent))
    try:
        said = {"missing": {}, "installed": [], **make(making), "made": time.time()}
        (making / "made.json").write_text(json.dumps(said), "utf-8")
        with contextlib.suppress(OSError):  # another grade was quicker
            if place.exists() and not _said(place):
                os.rename(place, making / "replaced")
            os.rename(making, place)
        return place, said, False
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _said(place: Path) -> dict[str, Any] | None:
    try:
        said = json.loads((place / "made.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return None if said["missing"] and time.time() - said["made"] > _PARTIAL_KEPT_S else said


def _cache() -> Path:
    """The user's cache folder on each system, with a place of the kit's in it."""
    home = Path.home()
    fallback = {"darwin": home / "Library" / "Caches", "win32": home / "AppData" / "Local"}
    own = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    folder = Path(own) if own else fallback.get(sys.platform, home / ".cache")
    folder = folder / "lm-from-scratch-grader" / "environments"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Refused(f"--environment own: {folder} cannot be made: {error.strerror}.") from error
    return folder


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
