"""Who handed in what: the entries of a folder, as they were collected by hand or exported by Gradescope or Canvas.

Names of files are the sender's words: they may hold anything that a file system allows. Nothing is opened here but
Gradescope's metadata; what lies in a submission is looked at when it is graded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from ..errors import Refused
from ..escape import in_one_line
from ..submission.archive import SUFFIXES, is_archive
from .roster import Roster, Student

METADATA = "submission_metadata.yml"
_CANVAS = re.compile(r"(?P<name>[^_]+)(?:_LATE)?_(?P<user>\d+)_(?P<attachment>\d+)_(?P<file>.+)", re.DOTALL)
_LONGEST = 60  # characters of a folder's name; of four bytes each, they stay below the 255 of a file system
_SHOWN = 3


@dataclass(frozen=True)
class HandedIn:
    """What one student, or one group, handed in.

    id: the name of the folder with its report; safe on every file system, and no other submission's.
    source: the folder or archive to grade, or None where there is none, or none that could be told from another.
    fault: why it cannot be graded, or ""; notes: what else a person should know of it.
    """

    id: str
    students: tuple[Student, ...]
    source: Path | None
    fault: str = ""
    notes: tuple[str, ...] = ()

    @property
    def is_missing(self) -> bool:
        """Whether somebody of the roster handed in nothing at all."""
        return self.source is None and self.fault == MISSING


MISSING = "nothing was handed in"


@dataclass(frozen=True)
class _Entry:
    """One entry of the folder. fault: why it cannot be graded whatever it is, or ""."""

    path: Path
    students: tuple[Student, ...]
    names: tuple[str, ...]
    fault: str = ""

    @property
    def gradable(self) -> bool:
        return not self.fault and (self.path.is_dir() or is_archive(self.path))


def collect(
    folder: Path,
    roster: Roster | None = None,
    left_out: Collection[Path] = (),
    refused: Mapping[str, str] = MappingProxyType({}),
) -> list[HandedIn]:
    """What was handed in, one submission for each student or group, by id; whoever handed in nothing comes last.

    Args:
        left_out: files and folders in there that are no submissions, such as the roster.
        refused: {entry: why it is not there}, of what came in an archive.

    Raises:
        Refused: there is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise Refused(
            f"{folder} is {'a file' if folder.exists() else 'not there'}; name the folder with the submissions."
        )
    try:
        paths = sorted(Path(entry.path) for entry in os.scandir(folder))
    except OSError as error:
        raise Refused(f"{folder} cannot be read: {error.strerror}.") from error
    submitters = read_submitters(folder / METADATA) if (folder / METADATA).is_file() else {}
    elsewhere = {os.path.realpath(path) for path in left_out}
    entries = [
        _entry(path, submitters)
        for path in paths
        if not path.name.startswith((".", "__MACOSX")) and path.name != METADATA
        if os.path.realpath(path) not in elsewhere and path.name not in refused
    ]
    entries += [
        replace(_entry(folder / name, submitters), fault=why)
        for name, why in sorted(refused.items())
        if name == ".." or not name.startswith(".")
    ]
    if not entries:
        raise Refused(f"{folder} holds no submissions: neither folders nor archives ({', '.join(SUFFIXES)}).")
    groups: dict[str, list[_Entry]] = {}
    for entry in (_named_by(roster, entry) for entry in entries):
        groups.setdefault(folder_name(_identity(entry)).casefold(), []).append(entry)
    found = sorted((_submission(group, roster) for group in groups.values()), key=lambda one: one.id)
    return [*found, *_missing(found, roster)]


def _entry(path: Path, submitters: Mapping[str, tuple[Student, ...]]) -> _Entry:
    if known := submitters.get(path.name):
        return _Entry(path, known, (path.name, *(word for one in known for word in (one.id, one.email, one.name))))
    stem = path.name
    if stem.lower().endswith(SUFFIXES) and not path.is_dir():
        stem = stem[: -len(next(suffix for suffix in SUFFIXES if stem.lower().endswith(suffix)))]
    if canvas := _CANVAS.fullmatch(path.name):
        student = Student(f"{canvas['name']}-{canvas['user']}", canvas["name"])
        return _Entry(path, (student,), (canvas["user"], canvas["name"]))
    return _Entry(path, (Student(stem),), (stem,))


def _named_by(roster: Roster | None, entry: _Entry) -> _Entry:
    """The entry with its students as the roster knows them."""
    if roster is None:
        return entry
    if len(entry.students) == 1:
        found = roster.find(entry.names)
        return replace(entry, students=(found,)) if found else entry
    known = (roster.find((one.id, one.email, one.name)) or one for one in entry.students)
    return replace(entry, students=tuple(known))


def _identity(entry: _Entry) -> str:
    """What a submission is called by: its student's id, or the name of a group's folder."""
    return entry.students[0].id if len(entry.students) == 1 else entry.path.name


def folder_name(identity: str) -> str:
    """A name for the folder of a report: letters, digits and `.-_@+`; another one for each id, whatever it holds."""
    text = unicodedata.normalize("NFC", identity)
    safe = "".join(c if c.isalnum() or c in ".-_@+" else "_" for c in text).strip("._")[:_LONGEST]
    if safe == identity:
        return safe
    return f"{safe or 'submission'}-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:8]}"


def _submission(entries: list[_Entry], roster: Roster | None) -> HandedIn:
    """One student's entries as one submission: what can be graded, if that is one thing."""
    first, gradable = entries[0], [entry for entry in entries if entry.gradable]
    others = [entry for entry in entries if entry not in gradable]
    notes = [f"not graded: the file {_shown(others)}"] if others and gradable else []
    if roster and not any(student in roster.students for student in first.students):
        notes.append("not on the roster")
    source, fault = None, ""
    if len(gradable) > 1:
        fault = f"handed in {len(gradable)} times: {_shown(gradable)}; keep one of them, and run the batch again"
    elif gradable:
        source = gradable[0].path
    elif why := next((entry.fault for entry in entries if entry.fault), ""):
        fault = why.rstrip(".")
    elif not os.path.exists(first.path):
        fault = f"{_shown(others)} is a link that leads nowhere"
    else:
        fault = f"{_shown(others)} is a file, neither a folder nor an archive ({', '.join(SUFFIXES)})"
    return HandedIn(folder_name(_identity(first)), first.students, source, fault, tuple(notes))


def _shown(entries: Collection[_Entry]) -> str:
    names = [in_one_line(os.fsencode(entry.path.name).decode("utf-8", "backslashreplace"), 80) for entry in entries]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _missing(found: Iterable[HandedIn], roster: Roster | None) -> Iterator[HandedIn]:
    there = {student for submission in found for student in submission.students}
    for student in roster.students if roster else ():
        if student not in there:
            yield HandedIn(folder_name(student.id), (student,), None, MISSING)


_FOLDER = re.compile(r"(?P<folder>\S.*?):\s*")
_SUBMITTER = re.compile(r"  - :(?P<field>\w+): ?(?P<value>.*)")
_FIELD = re.compile(r"    :(?P<field>\w+): ?(?P<value>.*)")


def read_submitters(path: Path) -> dict[str, tuple[Student, ...]]:
    """{folder: who handed it in} from the metadata of a Gradescope export.

    The file is YAML as Ruby writes it, and holds the results of all submissions; of that, only the lists `:submitters:`
    are read, line by line, since the rest can be gigabytes.
    """
    found: dict[str, list[dict[str, str]]] = {}
    folder, listing = "", False
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            line = line.rstrip("\r\n")
            if line and not line[0].isspace():
                named = _FOLDER.fullmatch(line)
                folder, listing = (_scalar(named["folder"]) if named else ""), False
            elif line.startswith("  :"):
                listing = bool(folder) and line.strip() == ":submitters:"
            elif listing and (one := _SUBMITTER.fullmatch(line)):
                found.setdefault(folder, []).append({one["field"]: _scalar(one["value"])})
            elif listing and folder in found and (one := _FIELD.fullmatch(line)):
                found[folder][-1][one["field"]] = _scalar(one["value"])
    return {
        folder: tuple(
            Student(one.get("sid") or one.get("email") or folder, one.get("name", ""), one.get("email", ""))
            for one in people
        )
        for folder, people in found.items()
    }


def _scalar(text: str) -> str:
    """A YAML scalar on one line: plain, or in quotes of either kind."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(re.sub(r"\\x([0-9a-fA-F]{2})", r"\\u00\1", text)))
        except ValueError:
            return text[1:-1]
    return "" if text in ("~", "null") else text
