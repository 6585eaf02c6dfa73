"""The students' copy with another name for their package: nothing in it knows the first one, and it grades itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from grader.kit.handout import HandoutError, write_handout
from grader.kit.paths import REFERENCE
from grader.selftest.report_contract import checked

PACKAGE = "our_language_model"
KNOWN = ("grader/kit/handout.py", "grader/submission/locate.py")
"""Code that means the public assignment's own package, and the kit's."""


@pytest.fixture(scope="module")
def handout(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("class") / "skeleton"
    write_handout(folder, package=PACKAGE)
    return folder


def test_no_text_has_the_first_name(handout):
    texts = (path for path in handout.rglob("*") if path.is_file() and not path.is_relative_to(handout / "tests"))
    named = [path.relative_to(handout).as_posix() for path in texts if b"cs336_basics" in path.read_bytes()]
    assert sorted(named) == sorted(KNOWN)
    assert not (handout / "cs336_basics").exists()
    assert tomllib.loads((handout / "pyproject.toml").read_text())["project"]["name"] == PACKAGE
    assert f"python -m {PACKAGE}.train configs/tiny.toml" in (handout / "HANDOUT.md").read_text("utf-8")
    assert f"in {PACKAGE}/attention.py" in (handout / PACKAGE / "attention.py").read_text("utf-8")


def test_its_code_is_laid_out_as_ruff_does(handout):
    command = [sys.executable, "-m", "ruff", "format", "--check", PACKAGE, "adapters.py"]
    result = subprocess.run(command, cwd=handout, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    # But for lines of docstrings, which a longer name makes longer.
    command = [sys.executable, "-m", "ruff", "check", "--ignore", "E501", PACKAGE, "adapters.py"]
    result = subprocess.run(command, cwd=handout, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_it_tests_and_grades_itself(handout, tmp_path):
    """Linear is written in it, as its student would; softmax is not."""
    shutil.copy(REFERENCE / "layers.py", handout / PACKAGE / "layers.py")
    for helper in re.findall(r"^from \.(\w+) import", (REFERENCE / "layers.py").read_text(), re.MULTILINE):
        shutil.copy(REFERENCE / f"{helper}.py", handout / PACKAGE)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_linear.py", "tests/test_softmax.py"]
    result = subprocess.run(command, cwd=handout, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert re.search(r"^\d+ passed, \d+ todo in ", result.stdout, re.MULTILINE)
    target = tmp_path / "report.json"
    command = [sys.executable, "-m", "grader", "--problem", "linear", "softmax", "--json", str(target), "--jobs", "1"]
    result = subprocess.run(command, cwd=handout, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    report = checked(target.read_text("utf-8"))
    assert {problem["id"]: problem["status"] for problem in report["problems"]} == {"linear": "pass", "softmax": "todo"}


def test_commands_of_staff_are_refused_in_it(handout):
    for command in ("batch", "regrade", "manual", "gradescope-zip", "handout"):
        line = [sys.executable, "-m", "grader", command, "x"]
        result = subprocess.run(line, cwd=handout, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (
            2, f"grader: {command} works with the staff's copy of the kit; this one has no grader/staff.\n"
        )  # fmt: skip


@pytest.mark.parametrize("name", ["numpy", "grader", "adapters"])
def test_a_name_that_means_something_else_is_refused(tmp_path, name):
    with pytest.raises(HandoutError, match=f"cannot be called {name}"):
        write_handout(tmp_path / "skeleton", package=name)
