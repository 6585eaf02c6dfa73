"""Where a failure is to be looked at, and how an editor is asked to open that line. Pure."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePath

from ..report.model import ProblemReport

_FRAME = re.compile(r'^  File "(?P<file>[^"\n]+)", line (?P<line>\d+)', re.MULTILINE)
_BY_GOTO = ("code", "code-insiders", "codium", "vscodium", "cursor", "windsurf", "positron")
_BY_COLON = ("subl", "sublime_text", "zed")
_BY_LINE = ("idea", "pycharm", "charm", "kate", "gedit")
_WAITING = ("--wait", "-w", "--block")


def place_of(problem: ProblemReport) -> tuple[str, int] | None:
    """The file and the line of the submission at which a problem fails, as far as that is known."""
    for trouble in problem.troubles:
        if trouble.clue and trouble.clue.file:
            return trouble.clue.file, trouble.clue.line
        for test in trouble.tests:
            if frames := _FRAME.findall(test.outcome.detail):
                file, line = frames[-1]
                return file, int(line)
    return None


def place_in(message: str) -> tuple[str, int] | None:
    """The place that a sentence about a file names, as in `importing adapters.py failed: a/b.py:3: SyntaxError`."""
    found = re.search(r"(?P<file>[\w./-]+\.py):(?P<line>\d+)", message)
    return (found["file"], int(found["line"])) if found else None


def command(editor: str, file: str, line: int) -> list[str]:
    """How to have an editor open a file at a line.

    Args:
        editor: as in the environment, with options, such as `code --wait`. Options that have one with a window of its
            own wait until that is closed are left out: the terminal stays free.

    Raises:
        ValueError: the text has quotation marks that do not match.
    """
    program, *options = shlex.split(editor) or [""]
    name = PurePath(program).stem.lower()
    if name in (*_BY_GOTO, *_BY_COLON, *_BY_LINE):
        options = [option for option in options if option not in _WAITING]
    if name in _BY_GOTO:
        return [program, *options, "--goto", f"{file}:{line}"]
    if name in _BY_COLON:
        return [program, *options, f"{file}:{line}"]
    if name in _BY_LINE:
        return [program, *options, "--line", str(line), file]
    return [program, *options, f"+{line}", file]
