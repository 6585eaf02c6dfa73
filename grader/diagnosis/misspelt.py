"""What some exceptions of Python's mean: a method that it looks for in a class is there, but spelt otherwise.

Such a mistake is not seen where it is written but where somebody relies on it: `Tokenizer() takes no arguments` is said
of the call, and the line to mend is `def __init(self, ...`. Files are searched line by line, so that they may be
written for any Python.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..scoring.outcome import Clue
from ..submission.files import Files
from ..submission.interface import Submission
from ..submission.source_files import depth_of, end_of, source_lines
from .tracing import lines_around

if TYPE_CHECKING:
    from .clues import Failure

_LOOKED_FOR = (
    (r"\b(?P<owner>\w+)\(\) takes no arguments$", "__init__"),
    (r"'(?P<owner>\w+)' object is not callable$", "__call__"),
    (r"object of type '(?P<owner>\w+)' has no len\(\)$", "__len__"),
    (r"'(?P<owner>\w+)' object is not subscriptable$", "__getitem__"),
    (r"'(?P<owner>\w+)' object is not iterable$", "__iter__"),
    (r"'(?P<owner>\w+)' object is not an iterator$", "__next__"),
    (r"Module \[(?P<owner>\w+)\] is missing the required \"forward\" function", "forward"),
)
"""(what an exception says of a class, the method that it misses there)"""

_TOO_MANY = re.compile(
    r"(?:\b(?P<owner>\w+)\.)?(?P<method>\w+)\(\) takes (?P<takes>\d+) positional arguments? but (?P<given>\d+) w"
)
_CLASS = re.compile(r"^[ \t]*class[ \t]+(?P<name>\w+)\b")
_METHOD = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(?P<name>\w+)[ \t]*\(\s*(?P<first>\w*)")
_ALIKE = 0.7


@dataclass(frozen=True)
class _Method:
    """A function in the body of a class. decorated: whether a line with `@` stands above it."""

    name: str
    first: str
    line: int
    decorated: bool


@dataclass(frozen=True)
class _Class:
    file: str
    methods: tuple[_Method, ...]


def find_misspelt(failure: Failure, submission: Submission, lines: bool = True) -> Clue | None:
    """What an exception that ended a test comes from, if that is how a method of a class is spelt. A source of clues.

    Args:
        lines: whether to name files and lines.
    """
    error = next((answer for answer in failure.answers if isinstance(answer, Exception)), None)
    message = str(error).partition("\n")[0] if error is not None else ""
    for said, wanted in _LOOKED_FOR:
        if found := re.search(said, message):
            return _about(found["owner"], wanted, submission, lines)
    if found := _TOO_MANY.search(message):
        return _without_self(found, submission, lines)
    return None


def _about(owner: str, wanted: str, submission: Submission, lines: bool) -> Clue | None:
    """That a class has no method of this name, and which of its methods may be meant to be it."""
    cls = _only_class(owner, submission.files)
    if cls is None or any(method.name == wanted for method in cls.methods):
        return None
    names = {method.name.strip("_"): method for method in cls.methods}
    alike = difflib.get_close_matches(wanted.strip("_"), names, 1, _ALIKE)
    if not alike:
        return None
    method = names[alike[0]]
    says = f"Your class {owner} has no {wanted}, which Python looks for here. Is {method.name} meant to be it?"
    return _clue(says, cls.file, method.line, submission, lines)


def _without_self(found: re.Match[str], submission: Submission, lines: bool) -> Clue | None:
    """That a method is called with one more argument than it takes since it has no `self`."""
    if int(found["given"]) != int(found["takes"]) + 1:
        return None
    cls = _only_class(found["owner"], submission.files) if found["owner"] else None
    method = next((method for method in cls.methods if method.name == found["method"]), None) if cls else None
    if cls is None or method is None or method.decorated or method.first in ("self", "cls"):
        return None
    says = (
        f"{found['method']} is a method of {found['owner']} without self, and Python passes the object first: let self "
        "be its first parameter, or write @staticmethod above it."
    )
    return _clue(says, cls.file, method.line, submission, lines)


def _clue(says: str, file: str, line: int, submission: Submission, lines: bool) -> Clue:
    if not lines:
        return Clue((says,), cause=(says,))
    return Clue((says,), file, line, lines_around(submission, file, line), cause=(says,))


def _only_class(name: str, files: Files) -> _Class | None:
    """The class of this name, if the submission has exactly one."""
    found = list(_classes(name, files))
    return found[0] if len(found) == 1 else None


def _classes(name: str, files: Files) -> Iterator[_Class]:
    for file, lines in source_lines(files):
        for start, line in enumerate(lines):
            if (found := _CLASS.match(line)) and found["name"] == name:
                yield _Class(file, tuple(_methods(lines, start)))


def _methods(lines: list[str], start: int) -> Iterator[_Method]:
    """The functions right in the body of the class that begins at an index."""
    inside: int | None = None
    for i in range(start + 1, end_of(lines, start)):
        # Its first parameter may stand on the next line.
        if found := _METHOD.match("\n".join(lines[i : i + 2])):
            inside = depth_of(lines[i]) if inside is None else inside
            if depth_of(lines[i]) == inside:
                yield _Method(found["name"], found["first"], i + 1, lines[i - 1].lstrip().startswith("@"))
