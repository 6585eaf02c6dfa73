"""Where the wall cannot stand, a sentence says so before anything is started."""

from __future__ import annotations

import sys

import pytest

from grader.__main__ import GRADED, REFUSED, main
from grader.kit.systems import why_not_on


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
