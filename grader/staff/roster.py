"""Who is in the class: a CSV file from a learning platform, or one that somebody wrote.

Columns are found by their names, as Canvas, Gradescope and GitHub Classroom write them. One column is the id; all
others that could name somebody serve to recognise a submission, as far as they name one student only.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import Refused
from ..escape import in_one_line

_IDS = (
    "sid", "student id", "student number", "sis user id", "sis id", "id", "identifier", "roster_identifier", "netid",
    "username", "login", "sis login id", "login id", "github_username", "github username",
)  # fmt: skip
"""Names of columns that hold an id, the best first."""
_EMAILS = ("email", "email address", "e-mail", "mail")
_NAMES = ("name", "student", "student name", "full name", "display name")
_FIRST, _LAST = ("first name", "firstname", "given name"), ("last name", "lastname", "surname", "family name")
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Student:
    """One person. id: as the roster, or else the submission, gives it; what is not known is ""."""

    id: str
    name: str = ""
    email: str = ""


@dataclass(frozen=True)
class Roster:
    """A class. by_key: {what names one student and nobody else: that student}, in the form of `key`."""

    students: tuple[Student, ...]
    by_key: Mapping[str, Student]

    def find(self, names: Iterable[str]) -> Student | None:
        """The student whom the first of these names that is anybody's names, or None."""
        return next((self.by_key[key(name)] for name in names if key(name) in self.by_key), None)


def key(text: str) -> str:
    """A name as it is compared: without case, spaces and punctuation, as Canvas names files."""
    return "".join(c for c in text.casefold() if c.isalnum() or c == "@")


def read_roster(path: Path) -> Roster:
    """Read a roster.

    Raises:
        Refused: when it cannot be read, has no column that could be an id, or names one id twice.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise Refused(f"--roster {path} is larger than {_MOST_BYTES >> 20} MiB; it should be a CSV file.")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise Refused(f"--roster {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Refused(f"--roster {path} is not UTF-8 text; save it as CSV in UTF-8.") from error
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text)) if any(row)]
    except csv.Error as error:
        raise Refused(f"--roster {path} is no CSV file: {error}.") from error
    if not rows:
        raise Refused(f"--roster {path} is empty.")
    header = [cell.strip().casefold() for cell in rows[0]]
    ids = [header.index(name) for name in _IDS if name in header]
    ids += [header.index(name) for name in _EMAILS if name in header and not ids]
    if not ids:
        raise Refused(
            f"--roster {path} has no column with ids: its first line is {in_one_line(', '.join(rows[0]))}. Name one of "
            f"its columns {', '.join(_IDS[:3])} or email."
        )
    students: dict[str, Student] = {}
    keys: dict[str, set[Student]] = {}
    for number, row in enumerate(rows[1:], start=2):
        cells = [cell.strip() for cell in [*row, *[""] * (len(header) - len(row))]]
        student = _student(header, cells, ids)
        if student is None:
            continue
        if student.id in students:
            raise Refused(f"--roster {path}, row {number}: {in_one_line(student.id)} is in it twice.")
        students[student.id] = student
        for name in _names_of(student, [cells[column] for column in ids]):
            keys.setdefault(key(name), set()).add(student)
    return Roster(
        tuple(students.values()), {name: next(iter(who)) for name, who in keys.items() if name and len(who) == 1}
    )


def _delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)


def _student(header: Sequence[str], cells: Sequence[str], ids: Sequence[int]) -> Student | None:
    """The student of a row; None where it names nobody, as the second line of Canvas' gradebook does."""

    def cell(names: Sequence[str]) -> str:
        return next((cells[header.index(name)] for name in names if name in header), "")

    name = cell(_NAMES) or f"{cell(_FIRST)} {cell(_LAST)}".strip()
    identity = next((cells[column] for column in ids if cells[column]), "") or cell(_EMAILS)
    if not identity or name.casefold() == "points possible":
        return None
    return Student(identity, name, cell(_EMAILS))


def _names_of(student: Student, ids: Iterable[str]) -> list[str]:
    """Whatever a submission of this student may be called by: ids, address, and the name in both orders."""
    first, _, last = student.name.partition(", ") if ", " in student.name else student.name.rpartition(" ")
    return [*ids, student.email, student.email.partition("@")[0], student.name, f"{last} {first}"]
