"""The rubric: which problems there are, what they are worth and what they allow. Points exist nowhere else."""

from __future__ import annotations

import difflib
import enum
import keyword
import math
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import Refused

RUBRIC_FILE = Path(__file__).with_name("rubric.toml")


class RubricError(Refused):
    """The rubric, or a question asked of it, makes no sense; the message says where."""


class ProblemKind(enum.StrEnum):
    """How a problem is assessed."""

    CODE = "code"
    ANSWER = "answer"
    PERFORMANCE = "performance"
    ARTIFACT = "artifact"
    MANUAL = "manual"


class Visibility(enum.StrEnum):
    """When students see a problem's result, in systems that can hide one; the words are Gradescope's."""

    VISIBLE = "visible"
    HIDDEN = "hidden"
    AFTER_DUE_DATE = "after_due_date"
    AFTER_PUBLISHED = "after_published"


class Policy(enum.StrEnum):
    """What a breach of the from-scratch rule that was seen to run does to a problem's points."""

    ZERO = "zero"
    WARN = "warn"


@dataclass(frozen=True)
class Problem:
    """One row of the rubric.

    needs: problems whose code this one builds on. core_share: fraction of the points that its core tests carry; edge
    tests carry the rest. one_bug: largest fraction of the points that one ordinary bug may cost; the catalogue of known
    bugs is held to it. call_limit_s: seconds that one call of the student's code may take. policy: what a breach of the
    from-scratch rule costs. seconds: about how long its tests take one core with the reference; decides who examines
    what (`examination/runner.py`).
    """

    id: str
    title: str
    section: str
    kind: ProblemKind
    points: float
    needs: tuple[str, ...] = ()
    core_share: float = 0.75
    one_bug: float = 0.5
    call_limit_s: float = 10.0
    policy: Policy = Policy.ZERO
    seconds: float = 0.3


@dataclass(frozen=True)
class Rubric:
    """All problems, in the order of the handout.

    sections: id -> title; base_sections: those that make up the total; optional_sections: extensions of which a
        submission may have nothing: then one line of its report says so.
    edition: that of the public handout whose points these are; editions: those that there are, the newest first.
    lines: whether reports may name the file and line of a submission where a mistake begins.
    left_out: ids of problems that a course does not ask for; they are examined only where others build on them.
    visibility: {problem: when students see its result}; those that are not in it are visible.
    package: what the course calls the students' package in the copy that it hands out; "" for the kit's own name.
    """

    sections: dict[str, str]
    base_sections: tuple[str, ...]
    problems: tuple[Problem, ...]
    edition: str = ""
    editions: tuple[str, ...] = ()
    lines: bool = True
    left_out: tuple[str, ...] = ()
    visibility: Mapping[str, Visibility] = field(default_factory=dict)
    optional_sections: tuple[str, ...] = ()
    package: str = ""

    @property
    def asked(self) -> tuple[Problem, ...]:
        """The problems that the course asks for."""
        return tuple(problem for problem in self.problems if problem.id not in self.left_out)

    def __getitem__(self, problem_id: str) -> Problem:
        for problem in self.problems:
            if problem.id == problem_id:
                return problem
        raise RubricError(
            f"no problem is called {problem_id!r}.{did_you_mean(problem_id, (p.id for p in self.problems))} "
            "`python -m grader --list` shows them all."
        )

    def below(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """What these problems build on, directly or not, without themselves; in the rubric's order."""
        given = {problem.id for problem in problems}
        found: set[str] = set()
        waiting = list(given)
        while waiting:
            new = set(self[waiting.pop()].needs) - found
            found |= new
            waiting += new
        return tuple(problem for problem in self.problems if problem.id in found - given)

    def settled_unless_begun(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Those of optional sections, where others are graded, too: while nothing of one is written, its tests need not
        run one by one. Whoever asks for such a section alone wants to see them."""
        optional = tuple(problem for problem in problems if problem.section in self.optional_sections)
        return optional if set(optional) != set(problems) else ()

    def select(self, problem_ids: Iterable[str] = (), section: str | None = None) -> tuple[Problem, ...]:
        """The problems with these ids, or of this section, in the rubric's order; all of them when nothing is named.

        Raises:
            RubricError: for an unknown id or section, and for a problem that the course leaves out.
        """
        wanted = {self[problem_id].id for problem_id in problem_ids}
        if unasked := [problem_id for problem_id in self.left_out if problem_id in wanted]:
            raise RubricError(f"the course leaves out {', '.join(unasked)}: see left_out in its file.")
        if section is not None and section not in self.sections:
            raise RubricError(f"no section is called {section!r}.{did_you_mean(section, self.sections)}")
        return tuple(
            problem
            for problem in self.asked
            if (not wanted and section is None) or problem.id in wanted or problem.section == section
        )


def load_rubric(path: Path = RUBRIC_FILE, edition: str | None = None, course: Path | None = None) -> Rubric:
    """Read and check the rubric.

    Args:
        edition: of the public handout; the course's, or else the newest, if none is named.
        course: a file that says what a course has differently; `docs/course.md` describes it.

    Raises:
        RubricError: for anything that is missing, misspelt or impossible, with the place.
    """
    table = _read(path)
    overlay = _read(course) if course else {}
    of_course = course.name if course else ""
    _check_keys(overlay, {"edition", "policy", "lines", "left_out", "visibility", "package", "problem"}, of_course)
    _check_keys(table, set(_KEYS), path.name)
    for key in ("sections", "base_sections", "problem"):
        if key not in table:
            raise RubricError(f"{path.name} has no {key!r}.")
    policy = _policy(table.get("policy", Policy.ZERO), path.name)
    policy = _policy(overlay.get("policy", policy), of_course)
    lines = overlay.get("lines", table.get("lines", True))
    if not isinstance(lines, bool):
        name = of_course if "lines" in overlay else path.name
        raise RubricError(f"{name}: lines is {lines!r}, and must be true or false.")
    newest, others = str(table.get("edition", "")), table.get("editions", {})
    editions = (newest, *others)
    edition = str(overlay.get("edition", newest)) if edition is None else edition
    if edition not in editions:
        raise RubricError(
            f"no edition of the handout is called {edition!r}.{did_you_mean(edition, editions)} There are "
            f"{', '.join(editions)}."
        )
    rows = _in_edition(table["problem"], others.get(edition, {}), f"{path.name}, edition {edition}")
    rows = _in_edition(rows, _tables(overlay.get("problem", {}), of_course), of_course)
    problems = tuple(_problem(row, table["sections"], policy, path.name) for row in rows)
    ids = [problem.id for problem in problems]
    for problem in problems:
        if ids.count(problem.id) > 1:
            raise RubricError(f"{path.name}: problem {problem.id!r} appears twice.")
        for needed in problem.needs:
            if needed not in ids:
                raise RubricError(
                    f"{path.name}: {problem.id} needs {needed!r}, which is no problem.{did_you_mean(needed, ids)}"
                )
    optional = table.get("optional_sections", [])
    for kind, named in (("base", table["base_sections"]), ("optional", optional)):
        for section in named:
            if section not in table["sections"]:
                raise RubricError(f"{path.name}: {kind} section {section!r} is not among the sections.")
    if both := set(optional) & set(table["base_sections"]):
        raise RubricError(f"{path.name}: section {min(both)!r} is a base section, and cannot be optional.")
    return Rubric(
        dict(table["sections"]),
        tuple(table["base_sections"]),
        problems,
        edition,
        editions,
        lines,
        _left_out(overlay.get("left_out", []), ids, of_course),
        _visibility(overlay.get("visibility", {}), ids, of_course),
        tuple(optional),
        _package(overlay.get("package", ""), of_course),
    )


def _package(name: object, where: str) -> str:
    """A name that a package of students can have; "" where the course gives none."""
    if name == "":
        return ""
    if not isinstance(name, str) or not name.isascii() or not name.isidentifier() or keyword.iskeyword(name):
        raise RubricError(f"{where}: package is {name!r}, and must be a name that Python can import.")
    if name in _TAKEN or name in sys.stdlib_module_names:
        raise RubricError(f"{where}: package is {name!r}, which is the name of something else.")
    return name


_TAKEN = ("adapters", "benchmarks", "configs", "docs", "grader", "runs", "tests")


def _read(path: Path) -> dict[str, Any]:
    """A TOML file of a rubric."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RubricError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RubricError(f"{path} is not UTF-8 text.") from error
    except tomllib.TOMLDecodeError as error:
        raise RubricError(f"{path} is not valid TOML: {error}.") from error


_NOT_A_COURSES = ("id", "section", "kind", "needs", "seconds")
"""Keys of a problem that say what it is, which no course changes."""


def _tables(changes: Any, where: str) -> dict[str, dict[str, Any]]:
    """What a course has differently, problem by problem."""
    if not isinstance(changes, dict) or not all(isinstance(table, dict) for table in changes.values()):
        raise RubricError(f"{where}: write a table for each problem, as in [problem.rope] and below it points = 3.")
    for problem, table in changes.items():
        for key in table:
            if key in _NOT_A_COURSES:
                raise RubricError(f"{where}, problem {problem!r}: a course cannot change {key}.")
    return changes


def _left_out(given: Any, known: list[str], where: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(problem, str) for problem in given):
        raise RubricError(f"{where}: left_out is {given!r}, and must be a list of problems.")
    for problem in given:
        _check_known(problem, known, where)
    return tuple(given)


def _visibility(given: Any, known: list[str], where: str) -> dict[str, Visibility]:
    if not isinstance(given, dict):
        raise RubricError(f'{where}: write a table [visibility], and below it such lines as rope = "after_due_date".')
    found = {}
    for problem, when in given.items():
        _check_known(problem, known, where)
        try:
            found[problem] = Visibility(when)
        except ValueError:
            words = ", ".join(Visibility)
            raise RubricError(f"{where}: visibility of {problem} is {when!r}, and must be one of {words}.") from None
    return found


def _check_known(problem: str, known: list[str], where: str) -> None:
    if problem not in known:
        raise RubricError(f"{where}: no problem is called {problem!r}.{did_you_mean(problem, known)}")


def _in_edition(rows: list[dict[str, Any]], changes: dict[str, dict[str, Any]], where: str) -> list[dict[str, Any]]:
    """The problems with what an edition has differently."""
    ids = [str(row.get("id")) for row in rows]
    for problem in changes:
        if problem not in ids:
            raise RubricError(f"{where}: no problem is called {problem!r}.{did_you_mean(problem, ids)}")
    return [{**row, **changes.get(str(row.get("id")), {})} for row in rows]


def _problem(row: dict[str, Any], sections: dict[str, str], policy: Policy, name: str) -> Problem:
    where = f"{name}, problem {row.get('id', '(without id)')!r}"
    _check_keys(row, {field.name for field in fields(Problem)}, where)
    for key in ("id", "title", "section", "kind", "points"):
        if key not in row:
            raise RubricError(f"{where}: {key!r} is missing.")
    for key, value in row.items():
        if not _is_of_its_type(key, value):
            raise RubricError(f"{where}: {key} is {value!r}, and must be {_words_for(key)}.")
    if row["section"] not in sections:
        raise RubricError(f"{where}: no section is called {row['section']!r}.{did_you_mean(row['section'], sections)}")
    try:
        kind_of_problem = ProblemKind(row["kind"])
    except ValueError:
        raise RubricError(
            f"{where}: no kind is called {row['kind']!r}.{did_you_mean(row['kind'], [str(k) for k in ProblemKind])}"
        ) from None
    policy = _policy(row.get("policy", policy), where)
    needs = tuple(row.get("needs", ()))
    problem = Problem(**{**row, "needs": needs, "kind": kind_of_problem, "policy": policy})
    if problem.points < 0:
        raise RubricError(f"{where}: points must not be negative.")
    if not 0.7 <= problem.core_share <= 1:
        raise RubricError(f"{where}: core_share must lie between 0.7 and 1.")
    if not 0 < problem.one_bug <= 1:
        raise RubricError(f"{where}: one_bug must be above 0 and at most 1.")
    if problem.call_limit_s <= 0:
        raise RubricError(f"{where}: call_limit_s must be positive.")
    if problem.seconds < 0:
        raise RubricError(f"{where}: seconds must not be negative.")
    return problem


_KEYS = ("sections", "base_sections", "optional_sections", "policy", "problem", "edition", "editions", "lines")
_NUMBERS = ("points", "core_share", "one_bug", "call_limit_s", "seconds")


def _is_of_its_type(key: str, value: Any) -> bool:
    if key == "needs":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if key in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, str)


def _words_for(key: str) -> str:
    return "a list of strings" if key == "needs" else "a number" if key in _NUMBERS else "a string"


def _policy(word: Any, where: str) -> Policy:
    try:
        return Policy(word)
    except ValueError:
        known = [str(policy) for policy in Policy]
        hint = did_you_mean(str(word), known)
        raise RubricError(f"{where}: policy is {' or '.join(map(repr, known))}, not {word!r}.{hint}") from None


def _check_keys(table: dict[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise RubricError(f"{where}: unknown key {key!r}.{did_you_mean(key, known)}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence with the nearest of the known words, or nothing when none is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
