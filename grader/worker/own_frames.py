"""What an exception says of a submission's own code: the frames in its files, and one line."""

from __future__ import annotations

import importlib
import os
import traceback
from pathlib import Path

_FRAMES_KEPT = 12
_WORKER = Path(__file__).resolve().parent
_NOBODYS = (str(_WORKER), "<frozen importlib", str(importlib.__file__))
"""How the names of files begin that lead to a submission's code and say nothing about it."""
_GRADER = os.path.join(_WORKER.parent, "")
_TESTS = os.path.join(_WORKER.parent.parent, "tests", "test_")

_TEXT_LIMIT = 4000
_CAUSES = 8


def one_line(error: BaseException) -> str:
    """What an exception says, in the words of the last line of a traceback."""
    try:
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
    except Exception:  # a student's __str__ may itself raise
        text = type(error).__name__
    return text[:_TEXT_LIMIT]


def passes_through(root: str, error: BaseException) -> bool:
    """Whether an exception was raised in a file below this folder, or in what that called."""
    return any(_is_own(frame.filename, os.path.join(root, "")) for frame in _frames(error))


def traceback_in(root: str, error: BaseException) -> str:
    """The traceback in the submission's own files, with paths relative to it; a library's frames help nobody.

    Args:
        root: the submission's folder; "" where it is not known.
    """
    own = _own_frames(root, error)
    lines = []
    for frame in (own or _frames(error))[-_FRAMES_KEPT:]:
        name = os.path.relpath(frame.filename, root) if own else frame.filename
        lines.append(f'  File "{name}", line {frame.lineno}, in {frame.name}\n    {frame.line or ""}')
    # What Python says of a file that it cannot read names its whole path.
    said = one_line(error).replace(os.path.join(root, ""), "") if root else one_line(error)
    return "\n".join([*lines, said])[-_TEXT_LIMIT:]


def _is_own(filename: str, root: str) -> bool:
    """Whether a file is the submission's. A student's copy holds the grader and the tests as well, beside his code; and
    a submission may lie within the grader, as the reference does."""
    if not filename.startswith(root):
        return False
    return root.startswith(_GRADER) or not filename.startswith((_GRADER, _TESTS))


def _own_frames(root: str, error: BaseException | None) -> list[traceback.FrameSummary]:
    """The frames in the submission's files; where there are none, those of what the exception comes of.

    Python itself raises RuntimeError where a generator has raised StopIteration.
    """
    for _ in range(_CAUSES if root else 0):
        if error is None:
            break
        if own := [frame for frame in _frames(error) if _is_own(frame.filename, root)]:
            return own
        error = error.__cause__
    return []


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    return [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_NOBODYS)]
