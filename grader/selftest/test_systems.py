"""Where the wall cannot stand, a sentence says so before anything is started."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from grader.__main__ import GRADED, REFUSED, main
from grader.guide.doctor import Health, of_mac
from grader.kit.paths import KIT
from grader.kit.systems import OLDEST_PYTHON, why_not_in, why_not_on, without


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_submission_can_be_graded_on_linux_and_macos(platform: str) -> None:
    assert why_not_on(platform) is None


def test_windows_is_told_of_wsl_in_one_sentence() -> None:
    sentence = why_not_on("win32")
    assert sentence is not None
    assert "WSL" in sentence
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    "arguments",
    [["--problem", "rope"], ["--problem", "rope", "--isolation", "none"], ["hint", "rope"]],
    ids=["grade", "grade without a wall", "hint"],
)
def test_grading_on_windows_ends_with_that_sentence(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(arguments) == REFUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"grader: {why_not_on('win32')}\n"


def test_what_grades_nothing_works_on_windows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["--list"]) == GRADED
    assert "rope" in capsys.readouterr().out


@pytest.mark.parametrize("tests", [["tests/test_rope.py"], ["tests"], []], ids=["one file", "all", "nothing named"])
def test_pytest_on_windows_ends_with_that_sentence(tests: list[str], tmp_path: Path) -> None:
    """A process that believes to be on Windows from before the first file of the kit is read."""
    (tmp_path / "windows.py").write_text("import sys\nsys.platform = 'win32'\n", "utf-8")
    # Other plugins, and what captures output, would now look for what Windows has.
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "windows", "-s", *tests]
    ended = subprocess.run(command, cwd=KIT, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (4, "", f"{why_not_on('win32')}\n")


@pytest.mark.parametrize("arguments", [[], ["hint", "rope"], ["explain", "rope"], ["doctor"]], ids=" ".join)
def test_a_python_without_the_packages_is_told_how_to_get_them(arguments: list[str]) -> None:
    """As where `python -m grader` is typed and `.venv` is not active; -S leaves all packages out."""
    ended = subprocess.run(
        [sys.executable, "-S", "-m", "grader", *arguments], cwd=KIT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (REFUSED, "")
    assert "lacks the package" in ended.stderr
    assert "`make setup` installs it" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_an_older_python_is_told_so_whatever_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    for arguments in ([], ["doctor"], ["explain", "rope"]):
        assert main(arguments) == REFUSED
        assert capsys.readouterr().err == f"grader: {why_not_in((3, 9))}\n"


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14", "3.15"])
def test_every_python_has_one_range_of_torch(version: str) -> None:
    """A bound on torch shuts out the Pythons that only a later torch has packages for."""
    listed = tomllib.loads((KIT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    torches = [requirement for requirement in map(Requirement, listed) if requirement.name == "torch"]
    here = [one for one in torches if one.marker is None or one.marker.evaluate({"python_version": version})]
    assert len(here) == 1
    if version == "3.15":
        assert "2.15.0" in here[0].specifier


def test_the_oldest_python_is_that_of_the_project() -> None:
    project = tomllib.loads((KIT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["requires-python"] == ">=" + ".".join(map(str, OLDEST_PYTHON))
    assert why_not_in(OLDEST_PYTHON) is None
    assert why_not_in((4, 0)) is None


def test_a_mac_is_told_what_it_lacks() -> None:
    (apple,) = of_mac("darwin", "arm64")
    (intel,) = of_mac("darwin", "x86_64")
    assert (apple.state, intel.state) == (Health.NOTE, Health.WRONG)
    assert "Triton" in apple.says
    assert "PyTorch has had no packages for Intel Macs" in intel.says
    assert list(of_mac("linux", "x86_64")) == []
    assert without("torch", "python3", "darwin", "x86_64") == intel.says
    assert "make setup" in without("torch", "python3", "darwin", "arm64")
    assert without("torch", "python.exe", "win32", "AMD64") == why_not_on("win32")
