"""Written answers: what stands in a submission's `answers.toml`, read as the words of a stranger.

A table for each problem, in it one value for each question: text, a number or one of a few words. An empty text is a
question not answered yet. Whatever else stands there (another type, a number beyond all bounds, nesting without end,
escape sequences for a terminal) is refused with a sentence or made legible.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from ..kit.paths import KIT
from ..submission.faults import NothingToAssess, Todo, WrongResult
from ..submission.files import Files
from .parsing import parse_toml, shown

ANSWERS = "answers.toml"
_LIMIT = 1 << 18
_TEXT_LIMIT = 20_000
_LARGEST = 10.0**18


class Answers:
    """The answers to one problem. Every reading raises `Todo` for a question that has no answer yet."""

    def __init__(self, problem: str, table: dict[str, Any]) -> None:
        self.problem = problem
        self._table = table

    def text(self, key: str) -> str:
        """A text that is not empty.

        Raises:
            Todo: there is none; WrongResult: it is no text.
        """
        value = self._value(key)
        if not isinstance(value, str):
            raise WrongResult(f"{self._name(key)} is {shown(value)}; it must be text, in quotation marks.")
        return value

    def number(self, key: str) -> float:
        """A finite number of ordinary size.

        Raises:
            Todo: there is none; WrongResult: it is something else.
        """
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise WrongResult(f"{self._name(key)} is {shown(value)}; it must be a number, without quotation marks.")
        if (isinstance(value, float) and not math.isfinite(value)) or abs(value) > _LARGEST:
            raise WrongResult(f"{self._name(key)} is {shown(value)}; it must be a finite number below 1e18.")
        return value

    def choice(self, key: str, options: Sequence[str]) -> str:
        """One of a few words, in lower case.

        Raises:
            Todo: there is none; WrongResult: it is none of the words.
        """
        word = self.text(key).strip().lower()
        if word not in options:
            listed = ", ".join(repr(option) for option in options)
            raise WrongResult(f"{self._name(key)} is {shown(word)}; it must be one of {listed}.")
        return word

    def close(self, key: str, measured: float, relative: float = 0.01) -> None:
        """Check a number against what was measured.

        Raises:
            Todo, WrongResult: as `number`; also when it is further from `measured` than the relative tolerance.
        """
        claimed = self.number(key)
        if not abs(claimed - measured) <= relative * abs(measured):
            raise WrongResult(f"{self._name(key)} is {claimed:g}; the grader measured {measured:.6g}.")

    def pass_on(self, for_staff: Callable[[str, str], None], *keys: str) -> None:
        """Hand the free text among the answers to staff, each with its question."""
        for key in keys:
            value = self._table.get(key)
            if isinstance(value, str) and value.strip():
                for_staff(question(self.problem, key), value.strip()[:_TEXT_LIMIT])

    def _value(self, key: str) -> Any:
        value = self._table.get(key, "")
        if isinstance(value, str) and not value.strip():
            meant = "" if key in self._table else _did_they_mean(key, self._table)
            raise Todo(f"{self._name(key)} is not answered yet.{meant}")
        return value

    def _name(self, key: str) -> str:
        return f"{ANSWERS}: {key} in [{self.problem}]"


def answers_to(problem: str, files: Files) -> Answers:
    """What a submission answers to a problem.

    Raises:
        NothingToAssess: it has no answers.toml.
        Todo: that has no table for the problem.
        WrongResult: it is no TOML file, or the problem's table is none.
    """
    table = parse_toml(files.read_text(ANSWERS, _LIMIT), ANSWERS)
    if problem not in table:
        raise Todo(f"{ANSWERS} has no table [{problem}].{_did_they_mean(problem, table)}")
    if not isinstance(table[problem], dict):
        raise WrongResult(f"{ANSWERS}: {problem} must be a table: write [{problem}], and your answers below it.")
    return Answers(problem, table[problem])


def remarks_on(problem: str, files: Files) -> Answers:
    """The same for problems to which written answers are a supplement: nothing is no answers, and no fault."""
    try:
        return answers_to(problem, files)
    except (NothingToAssess, Todo, WrongResult):
        return Answers(problem, {})


def question(problem: str, key: str) -> str:
    """The question to a key, as the kit's own `answers.toml` has it in the comment above; else the key."""
    try:
        text = (KIT / ANSWERS).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return key
    return questions(text).get((problem, key), key)


def questions(template: str) -> dict[tuple[str, str], str]:
    """{(problem, key): the comment above it}, for every key of a template."""
    found: dict[tuple[str, str], str] = {}
    table = ""
    comment: list[str] = []
    for line in template.splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line.strip()):
            table, comment = heading[1], []
        elif line.startswith("#"):
            comment.append(line.lstrip("# ").rstrip())
        elif key := re.match(r"(\w+) *=", line):
            found[table, key[1]] = " ".join(filter(None, comment)) or key[1]
            comment = []
        else:
            comment = []
    return found


def _did_they_mean(word: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(word, [key for key in known if len(key) < 100][:200], n=1)
    return f" There is {shown(close[0])}: did you mean that?" if close else ""
