"""`python -m grader doctor`: is this machine ready, what will not be assessed on it and why, and what mends it."""

from __future__ import annotations

import enum
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
import tomllib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ..cases.assets import FixtureError
from ..cases.hunt_table import problems_with_hunts, read_hunt_table
from ..cases.store import CASES, has_generators, stored_cases
from ..errors import Refused
from ..kit.paths import FIXTURES, KIT
from ..kit.systems import INTEL_MAC, MAC, is_intel_mac, why_not_on

_GIB = 1 << 30
_DISK_GIB, _MEMORY_GIB = 2, 4
"""With less than this, a grade may end early: what it copies and what its processes take together."""

_RESTORE = "git checkout HEAD -- tests/fixtures"
_HASHED = re.compile(r"^\| `([^`]+)` \| \d+ \| `([0-9a-f]{64})` \|$", re.MULTILINE)


class Health(enum.StrEnum):
    """What a finding means for whoever asks."""

    FINE = "✓"
    NOTE = "!"
    WRONG = "✗"


@dataclass(frozen=True)
class Observation:
    """One thing that was looked at.

    says: a sentence; do: what to type or do about it, "" where nothing needs to be done.
    """

    state: Health
    says: str
    do: str = ""


def examine(folder: Path) -> Iterator[Observation]:
    """Look at everything that a grade of the code in `folder` needs, quick things first."""
    project = tomllib.loads((KIT / "pyproject.toml").read_text("utf-8"))["project"]
    yield of_system(sys.platform, platform.python_version(), project["requires-python"])
    yield from of_mac(sys.platform, platform.machine())
    yield from of_packages(project["dependencies"], _installed())
    yield from of_fixtures(FIXTURES)
    yield from _of_space()
    yield from _of_devices()
    yield from _of_submission(folder)
    yield from _of_what_is_left_out()


def of_system(system: str, python: str, wanted: str) -> Observation:
    """Whether this system has a wall, and this Python is one that the kit runs on.

    Args:
        system: as `sys.platform` has it; wanted: as pyproject.toml has it, such as ">=3.11".
    """
    if sentence := why_not_on(system):
        return Observation(Health.WRONG, sentence, "wsl --install")
    if python not in SpecifierSet(wanted):
        newer = "make setup PYTHON=python3.12"
        return Observation(Health.WRONG, f"This is Python {python}; the kit needs Python {wanted}.", newer)
    return Observation(Health.FINE, f"Python {python} on {platform.system()}.")


def of_mac(system: str, machine: str) -> Iterator[Observation]:
    """What a Mac lacks.

    Args:
        system: as `sys.platform` has it; machine: as `platform.machine()` has it.
    """
    if is_intel_mac(system, machine):
        yield Observation(Health.WRONG, INTEL_MAC)
    elif system == "darwin":
        yield Observation(Health.NOTE, MAC)


def of_packages(wanted: Iterable[str], installed: Mapping[str, str]) -> Iterator[Observation]:
    """Whether the packages that the kit needs are here, in a version that it was tried with.

    Args:
        wanted: requirements as in pyproject.toml; installed: {name in lower case: version}.
    """
    lacking = []
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        version = installed.get(requirement.name.lower())
        if version is None:
            lacking.append(str(requirement.name))
        elif not requirement.specifier.contains(version, prereleases=True):
            yield Observation(
                Health.WRONG,
                f"{requirement.name} {version} is installed; the kit needs {requirement.specifier}.",
                f"{_pip()} install '{requirement.name}{requirement.specifier}'",
            )
    if lacking:
        yield Observation(Health.WRONG, f"Not installed: {', '.join(lacking)}.", "make setup")
    else:
        yield Observation(Health.FINE, f"All packages are installed; torch is {installed.get('torch', 'missing')}.")


def of_fixtures(folder: Path) -> Iterator[Observation]:
    """Whether the files that tests compare with are as they were made.

    Args:
        folder: `tests/fixtures`, whose README lists a hash of each file.
    """
    listed = dict(_HASHED.findall((folder / "README.md").read_text("utf-8")))
    missing = [name for name in listed if not (folder / name).is_file()]
    contents = {name: (folder / name).read_bytes() for name in listed if name not in missing}
    changed = [name for name, content in contents.items() if _hash(content) != listed[name]]
    converted = [name for name in changed if _hash(contents[name].replace(b"\r\n", b"\n")) == listed[name]]
    if converted:
        yield Observation(
            Health.WRONG,
            f"Line ends were converted to those of Windows in {_some(converted)}, so hashes and token ids differ.",
            f"git config core.autocrlf false && rm -r tests/fixtures && {_RESTORE}",
        )
    if damaged := missing + [name for name in changed if name not in converted]:
        yield Observation(Health.WRONG, f"Missing or changed: {_some(damaged)}.", _RESTORE)
    if unreadable := list(_unreadable_cases()):
        yield Observation(Health.WRONG, f"Damaged cases: {_some(unreadable)}.", _RESTORE)
    if not (converted or damaged or unreadable):
        yield Observation(Health.FINE, f"All {len(listed)} fixtures and the stored cases are as they were made.")


_COMPRESSED = ("misconceptions", "quantities")
"""Files beside the cases, of all problems."""


def _unreadable_cases() -> Iterator[str]:
    for path in sorted(CASES.glob("*.msgpack")):
        try:
            if path.stem in _COMPRESSED:
                zlib.decompress(path.read_bytes())  # has a checksum
            else:
                stored_cases(path.stem)
        except (FixtureError, zlib.error):
            yield path.name
    for problem in problems_with_hunts():
        try:
            read_hunt_table(problem)
        except Refused:
            yield f"hunts/{problem}.msgpack"


def _of_space() -> Iterator[Observation]:
    import psutil

    free = shutil.disk_usage(tempfile.gettempdir()).free / _GIB
    memory = psutil.virtual_memory().total / _GIB
    if free < _DISK_GIB:
        where = tempfile.gettempdir()
        yield Observation(
            Health.WRONG,
            f"{free:.1f} GiB are free in {where}; a grade may need {_DISK_GIB}.",
            "TMPDIR=/a/larger/disk python -m grader",
        )
    if memory < _MEMORY_GIB:
        yield Observation(
            Health.NOTE,
            f"This machine has {memory:.1f} GiB of memory; with less than {_MEMORY_GIB}, grade one problem at a time.",
            "python -m grader --jobs 1",
        )
    yield Observation(
        Health.FINE, f"{os.cpu_count()} CPUs, {memory:.0f} GiB of memory, {free:.0f} GiB free for temporary files."
    )


def _of_devices() -> Iterator[Observation]:
    if importlib.util.find_spec("torch") is None:
        return  # said above
    import torch

    if torch.cuda.is_available():
        yield Observation(Health.FINE, f"GPU: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}.")
    elif torch.version.cuda is not None and shutil.which("nvidia-smi"):
        yield Observation(
            Health.NOTE,
            f"There is an NVIDIA driver, but torch {torch.__version__} finds no GPU: its CUDA {torch.version.cuda} may "
            "be newer than the driver.",
            "nvidia-smi",
        )
    if not torch.cuda.is_available():
        yield Observation(Health.FINE, "Not assessed here: races of kernels, which need an NVIDIA GPU.")
    if torch.backends.mps.is_available():
        yield Observation(
            Health.NOTE,
            "Apple's GPU (mps) trains models, but has no float64 and rounds differently. Tests run on the CPU.",
        )


def _of_submission(folder: Path) -> Iterator[Observation]:
    """Where the code is, and how strongly it would be shut in."""
    from ..submission.locate import locate
    from ..wall.isolation import choose

    try:
        layout = locate(folder)
        isolation = choose("auto", layout)
    except Refused as error:
        yield Observation(Health.WRONG, str(error))
        return
    yield Observation(Health.FINE, f"A grade would take {Path(layout.root, layout.adapters)}.")
    said = " ".join(isolation.missing)
    state = Health.NOTE if isolation.missing else Health.FINE
    install = "" if isolation.level == "bubblewrap" or sys.platform != "linux" else "sudo apt install bubblewrap"
    yield Observation(state, f"Isolation: {isolation.level}. {said}".strip(), install)


def _of_what_is_left_out() -> Iterator[Observation]:
    """What this copy of the kit cannot assess."""
    if not has_generators():
        yield Observation(
            Health.FINE,
            "This is a student's copy: tests run on the stored inputs. The course's own grade draws fresh ones.",
        )


def _installed() -> dict[str, str]:
    return {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}


def _pip() -> str:
    """How to call an installer for this Python."""
    return "uv pip" if shutil.which("uv") else f"{Path(sys.executable).name} -m pip"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")
