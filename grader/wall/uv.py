"""The program uv, which resolves and installs: run apart from every project, with the settings of the user.

Where packages are found follows from uv's own configuration and, where that says nothing, from pip's.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ..errors import Refused
from ..escape import visible

_LIMIT_S = 300.0
"""Seconds for everything that one `Uv` does, unless it is allowed more."""
_WHY_LENGTH = 300
_FROM_PIP = {"find-links": "UV_FIND_LINKS", "index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX"}
_NOT_PASSED_ON = ("VIRTUAL_ENV", "PYTHONPATH", "UV_PROJECT", "UV_PYTHON", "UV_NO_SYNC")
_WHEELS_ONLY = ("--quiet", "--only-binary", ":all:")


class NotInstalled(Exception):
    """uv could not do it; says why in a few words."""


class Uv:
    """uv, in an empty folder, so that no project's settings reach it."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._ends = time.monotonic() + _LIMIT_S

    def allow(self, seconds: float) -> None:
        """Let everything together take so many seconds more."""
        self._ends += seconds

    @functools.cached_property
    def _environment(self) -> dict[str, str]:
        return {
            **_pips_settings(),
            **{name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON},
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
            "NO_COLOR": "1",
        }

    @classmethod
    def found(cls) -> Uv:
        """uv beside this Python or on the PATH.

        Raises:
            Refused: there is none.
        """
        beside = shutil.which("uv", path=os.path.dirname(sys.executable))
        program = beside or shutil.which("uv")
        if program is None:
            raise Refused("--environment own needs uv: `pip install uv`, or `make setup`, which brings it.")
        return cls(program)

    def run(self, *arguments: str, given: str = "") -> str:
        """What it prints.

        Raises:
            NotInstalled: it fails, or the time is over.
        """
        with tempfile.TemporaryDirectory() as empty:
            try:
                done = subprocess.run(
                    [self._program, *arguments],
                    cwd=empty, env=self._environment, input=given, text=True,
                    capture_output=True, timeout=max(0.0, self._ends - time.monotonic()), check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise NotInstalled("it took too long to fetch") from None
            except OSError as error:
                raise NotInstalled(f"uv could not be run: {error.strerror}") from error
        if done.returncode:
            raise NotInstalled(_reason(done.stderr))
        return done.stdout

    def resolve(self, requirements: Iterable[str], python: str, never: Iterable[str]) -> list[str]:
        """Requirements and what they need, in exact versions of which there are wheels."""
        with _listing(never) as overrides:
            options = ["--python", python, "--overrides", overrides, "--no-header", "--no-annotate"]
            told = self.run("pip", "compile", *_WHEELS_ONLY, *options, "-", given="\n".join(requirements))
        return [line.partition(";")[0].strip() for line in told.splitlines() if "==" in line]

    def install(self, requirements: Iterable[str], options: Sequence[str]) -> None:
        """Unpack wheels."""
        with _listing(requirements) as listing:
            self.run("pip", "install", *_WHEELS_ONLY, "--compile-bytecode", *options, "-r", listing)

    def find_python(self, wanted: SpecifierSet) -> str | None:
        """An installed Python in this range, uv's choice first, then the newest of pyenv's."""
        with contextlib.suppress(NotInstalled):
            return self.run("python", "find", "--no-project", str(wanted).replace("==3", "3")).strip() or None
        versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
        found = {}
        for folder in versions.iterdir() if versions.is_dir() else []:
            program = folder / "bin" / "python"
            if re.fullmatch(r"3\.\d+\.\d+", folder.name) and program.exists() and minor(folder.name) in wanted:
                found[Version(folder.name)] = str(program)
        return found[max(found)] if found else None


@contextlib.contextmanager
def _listing(lines: Iterable[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "listing.txt")
        file.write_text("\n".join(lines) + "\n", "utf-8")
        yield str(file)


def _reason(complaint: str) -> str:
    """The first sentences of what uv says, on one line."""
    words = re.sub(r"[×╰─▶│├╴]|^(?:error|hint):", " ", complaint, flags=re.MULTILINE).split()
    return visible(" ".join(words)[:_WHY_LENGTH]) or "uv gave no reason"


def _pips_settings() -> dict[str, str]:
    """Where pip is told to find packages, in uv's words."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    settings: dict[str, str] = {}
    for line in told.splitlines():
        if match := re.fullmatch(r"(?:global|install|:env:)\.([a-z-]+)='(.*)'", line):
            settings.setdefault(match[1], " ".join(match[2].replace("\\n", " ").split()))
    found = {uvs: settings[pips] for pips, uvs in _FROM_PIP.items() if settings.get(pips)}
    return {**found, "UV_INDEX_STRATEGY": "unsafe-best-match"} if "UV_INDEX" in found else found  # as pip has it


def minor(text: str) -> str:
    """`3.12` of `3.12.1` or `3.12.*`."""
    release = Version(text.removesuffix(".*")).release
    return ".".join(map(str, (*release, 0)[:2]))
