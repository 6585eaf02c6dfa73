"""What git writes into a checkout is what was committed, whatever system and settings it runs with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from grader.kit.handout import write_handout
from grader.kit.paths import KIT
from grader.selftest.conftest import LONG

pytestmark = pytest.mark.skipif(not (KIT / ".git").exists(), reason="this copy is no git repository")


def git(*arguments: str, within: Path = KIT) -> str:
    return subprocess.run(["git", *arguments], cwd=within, check=True, capture_output=True, text=True).stdout


def changed_on_windows(repository: Path, folder: Path) -> list[str]:
    """The files that are not what is in the repository, where git writes them with the settings of Git for Windows.

    With those, line ends become CRLF where nothing forbids it.
    """
    settings = ("-c", "core.autocrlf=true", "-c", "core.eol=crlf")
    git(*settings, "checkout-index", "--all", f"--prefix={folder}/", within=repository)
    listed = (line.split("\t") for line in git("ls-files", "-s", within=repository).splitlines())
    blobs = {path: entry.split()[1] for entry, path in listed}
    found = git("hash-object", "--no-filters", *(str(folder / path) for path in blobs)).split()
    return [path for path, here in zip(blobs, found, strict=True) if blobs[path] != here]


def test_a_checkout_on_windows_has_every_byte(tmp_path: Path) -> None:
    assert changed_on_windows(KIT, tmp_path) == []


def test_a_students_checkout_on_windows_has_every_byte(tmp_path: Path) -> None:
    """Students put the copy that is handed out into repositories of their own."""
    copy = tmp_path / "copy"
    write_handout(copy)
    git("init", "--quiet", within=copy)
    git("add", "--all", within=copy)
    assert changed_on_windows(copy, tmp_path / "checkout") == []


def test_stored_cases_are_never_merged_line_by_line() -> None:
    files = sorted(str(path.relative_to(KIT)) for path in (KIT / "tests" / "fixtures" / "cases").glob("*.msgpack"))
    assert files
    said = git("check-attr", "merge", "--", *files).splitlines()
    assert {line.rpartition(": ")[2] for line in said} == {"unset"}


def test_the_files_that_are_begun_first_are_there() -> None:
    here = {path.stem.removeprefix("test_") for path in Path(__file__).parent.rglob("test_*.py")}
    assert set(LONG) <= here
