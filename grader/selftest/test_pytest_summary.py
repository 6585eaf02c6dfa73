"""What `pytest tests/...` says at its end, as a student sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

from grader.kit.paths import KIT, REFERENCE
from grader.selftest.layouts import public_solution, with_rope_in_halves, written


def run_pytest(submission: Path, *arguments: str, keys: str = "") -> str:
    """What pytest says of the code in a folder, in a terminal of 100 columns."""
    command = [sys.executable, "-m", "pytest", *arguments, "--submission", str(submission)]
    environment = {**os.environ, "COLUMNS": "100", "PYTEST_ADDOPTS": ""}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(
        command, cwd=KIT, env=environment, input=keys, capture_output=True, text=True, check=False, timeout=300
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> Path:
    root = public_solution(tmp_path_factory.mktemp("halves") / "solution")
    with_rope_in_halves(root)
    return root


@pytest.fixture(scope="module")
def said(halves, tmp_path_factory) -> str:
    return run_pytest(halves, "tests/test_rope.py", "tests/test_multihead_self_attention.py", "-q")


def test_a_known_bug_is_named_once(said):
    assert said.count("Your RoPE pairs feature k with feature k + d_k/2") == 1
    assert "The same shows in" in said


def test_the_simplest_case_is_shown(said):
    shown = next(line for line in said.splitlines() if "failed" in line and "test_" in line)
    assert "test_matches_reference[small_head]" in shown


def test_no_frame_of_the_kit_is_shown(said):
    assert "grader/" not in said.replace("grader hint", "")
    assert "Traceback" not in said
    assert "FAILED tests/" not in said


def test_what_is_carried_forward_says_what_to_fix_first(said):
    assert "multihead_self_attention fails only with what is wrong in rope: fix that first." in said


def test_what_the_submission_has_no_adapter_for_is_no_trouble(said):
    assert "no adapter" not in said


def test_the_command_that_it_shows_shows_the_bug_again(said, halves):
    joined = " ".join(line.strip("│ ") for line in said.splitlines())
    test = joined.partition("see it for yourself: uv run pytest ")[2].split()[0]
    assert test.startswith("tests/test_rope.py::test_")
    again = run_pytest(halves, test, "-q", "-x")
    assert "Your RoPE pairs feature k" in again
    assert "1 failed" in again


def test_workers_of_xdist_tell_what_they_found(halves):
    said = run_pytest(halves, "tests/test_rope.py", "-n", "2", "--dist", "loadfile", "-q")
    assert said.count("Your RoPE pairs feature k with feature k + d_k/2") == 1
    assert "12 failed" in said


def test_whoever_asks_for_tracebacks_or_a_debugger_gets_them(halves):
    said = run_pytest(
        halves, "tests/test_rope.py::test_pairs_are_neighbours", "--tb=short", "--pdb", "-q", keys="p 6 * 7\nq\n"
    )
    assert "(Pdb) 42" in said
    assert "in test_pairs_are_neighbours" in said
    assert "Your RoPE pairs feature k" in said


def test_editors_read_the_message_from_the_report(halves, tmp_path):
    run_pytest(halves, "tests/test_rope.py::test_pairs_are_neighbours", f"--junitxml={tmp_path / 'result.xml'}")
    failure = xml.etree.ElementTree.parse(tmp_path / "result.xml").find(".//failure")
    assert failure is not None
    assert "feature 0, alone in a vector" in (failure.text or "")


def test_an_exception_shows_only_the_students_frames(tmp_path):
    root = written(
        tmp_path / "raises",
        "def helper(x):\n    return x.no_such_attribute\n\n\n"
        "def run_softmax(in_features, dim):\n    return helper(in_features)\n",
    )
    said = run_pytest(root, "tests/test_softmax.py", "-q")
    assert said.count("no_such_attribute") < 6
    assert "adapters.py" in said
    assert "operations.py" not in said
    assert "in_process.py" not in said


def test_right_code_and_unwritten_code_have_nothing_to_be_told():
    for submission, end in ((REFERENCE, "passed"), (KIT, "todo")):
        said = run_pytest(submission, "tests/test_softmax.py", "-q")
        assert "╭" not in said
        assert end in said.splitlines()[-1]
