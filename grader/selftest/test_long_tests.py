"""A test that takes longer than a second says what it is doing, to whoever watches."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from grader.kit.paths import KIT
from grader.selftest.layouts import written
from grader.selftest.pseudo_terminal import PseudoTerminal
from grader.selftest.test_pytest_summary import run_pytest

TEST = "tests/test_softmax.py::test_matches_reference[one_vector]"
DOING = "Softmax divides e^x by the sum of e^x"


@pytest.fixture(scope="module")
def slow(tmp_path_factory) -> Path:
    return written(
        tmp_path_factory.mktemp("slow"),
        "import time\n\n\n"
        "def run_softmax(in_features, dim):\n"
        "    time.sleep(2.5)\n"
        "    e = in_features.exp()\n"
        "    return e / e.sum(dim, keepdim=True)\n",
    )


def in_terminal(submission: Path, *arguments: str, columns: int = 100) -> PseudoTerminal:
    command = [sys.executable, "-m", "pytest", "-n0", TEST, "--submission", str(submission), *arguments]
    return PseudoTerminal(command, KIT, columns=columns, PYTEST_ADDOPTS="")


def test_it_is_said_on_a_terminal_and_gone_at_the_end(slow):
    terminal = in_terminal(slow, "-q")
    try:
        terminal.wait_for(re.escape(f" 1 s: {DOING}"))
        terminal.wait_for(re.escape(f" 2 s: {DOING}"))
        assert terminal.ends_with() == 0
        said = terminal.screen.rpartition("2 s: ")[2]
        taken_back = said.partition("\b")[2]
        assert " " * len(DOING) in taken_back, "what was said is written over"
        assert "1 passed" in said
    finally:
        terminal.close()


def test_it_never_reaches_the_margin(slow):
    terminal = in_terminal(slow, "-q", columns=40)
    try:
        screen = terminal.wait_for(" 1 s: Softmax divides")
        assert DOING not in screen
        assert terminal.ends_with() == 0
    finally:
        terminal.close()


def test_a_file_or_pipe_gets_no_such_line(slow):
    assert "1 s:" not in run_pytest(slow, TEST, "-q")


def test_at_a_breakpoint_the_terminal_belongs_to_whoever_debugs(tmp_path):
    root = written(
        tmp_path / "stops",
        "def run_softmax(in_features, dim):\n    breakpoint()\n    return in_features.softmax(dim)\n",
    )
    terminal = in_terminal(root, "-q")
    try:
        terminal.wait_for(r"\(Pdb\)$")
        terminal.forget()
        with pytest.raises(AssertionError, match="did not come"):
            terminal.wait_for(" s: ", within_s=2.5)
        terminal.press("c\n")
        assert terminal.ends_with() == 0
    finally:
        terminal.close()
