"""What a class as a whole shows: how hard problems and claims are, which mistakes are common, who needs a person. Pure.

Rows come one at a time, and little is kept of each: numbers, ids and a few sentences.

Difficulty is the share of the class that a claim holds for. Discrimination is the correlation of an item with the
points of everything else (corrected item-total correlation; Henrysson 1963, doi:10.1007/BF02289618): near 0 or below,
the item tells nothing of what a student knows, and is worth a look itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .grade_state import PAGE, GradeState
from .grade_table import ClassRow

_BINS = 10
_FEWEST = 5
"""Of fewer submissions a correlation says nothing."""


@dataclass(frozen=True)
class Item:
    """A problem or a claim. rate: mean share of what could be earned, or share of the class that it holds for, 0 to 1.

    discrimination: -1 to 1, None where it says nothing; count: of how many submissions that is.
    """

    id: str
    rate: float
    discrimination: float | None
    count: int


@dataclass(frozen=True)
class ProblemItem:
    """A problem with its claims, hardest first; blocks: for how many submissions it has to be mended before others."""

    item: Item
    claims: tuple[Item, ...]
    blocks: int
    statuses: Mapping[str, int]


@dataclass(frozen=True)
class CommonBug:
    """A known bug, and whose submissions have it."""

    id: str
    problem: str
    says: str
    who: tuple[str, ...]


@dataclass(frozen=True)
class Remark:
    """Something in one submission: what, in which problem, at which place, in words."""

    who: str
    problem: str
    what: str
    where: str
    evidence: str


@dataclass(frozen=True)
class StudentLine:
    """One line of the class. find: words by which it is found: failed problems as `problem:status`, and bugs."""

    id: str
    names: str
    state: str
    earned: float | None
    assessed: float | None
    percent: float | None
    seconds: float
    looks: tuple[str, ...]
    find: str
    page: str


@dataclass(frozen=True)
class ClassStatistics:
    """All of it. bins: how many submissions earned 0 to 10 %, 10 to 20 % and so on, the last with 100 %."""

    states: Mapping[str, int]
    bins: tuple[int, ...]
    mean: float | None
    median: float | None
    problems: tuple[ProblemItem, ...]
    bugs: tuple[CommonBug, ...]
    integrity: tuple[Remark, ...]
    policy: tuple[Remark, ...]
    students: tuple[StudentLine, ...]


@dataclass
class _Marks:
    """The marks of an item, and of what else the same submissions earned."""

    marks: list[float] = field(default_factory=list)
    rest: list[float] = field(default_factory=list)

    def add(self, mark: float, rest: float | None) -> None:
        self.marks.append(mark)
        self.rest.append(math.nan if rest is None else rest)

    def item(self, id: str) -> Item:
        pairs = [(mark, rest) for mark, rest in zip(self.marks, self.rest, strict=True) if not math.isnan(rest)]
        rate = sum(self.marks) / len(self.marks)
        return Item(id, rate, correlation(pairs), len(self.marks))


def correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Pearson's r; None for fewer than five pairs, and where one side is constant."""
    if len(pairs) < _FEWEST:
        return None
    count = len(pairs)
    mean_x, mean_y = (sum(pair[side] for pair in pairs) / count for side in (0, 1))
    xx = sum((x - mean_x) ** 2 for x, _ in pairs)
    yy = sum((y - mean_y) ** 2 for _, y in pairs)
    if xx < 1e-12 or yy < 1e-12:
        return None
    return sum((x - mean_x) * (y - mean_y) for x, y in pairs) / math.sqrt(xx * yy)


def statistics_of(rows: Iterable[ClassRow]) -> ClassStatistics:
    """Look at every row once."""
    states: dict[str, int] = {}
    percents: list[float] = []
    problems: dict[str, _Marks] = {}
    claims: dict[str, dict[str, _Marks]] = {}
    statuses: dict[str, dict[str, int]] = {}
    blocks: dict[str, int] = {}
    bugs: dict[tuple[str, str], tuple[str, list[str]]] = {}
    integrity: list[Remark] = []
    policy: list[Remark] = []
    students: list[StudentLine] = []
    for row in rows:
        states[str(row.grade.state)] = states.get(str(row.grade.state), 0) + 1
        line = _line(row)
        students.append(line)
        if (summary := row.grade.summary) is None:
            continue
        if line.percent is not None:
            percents.append(line.percent)
        for found in summary["suspicions"]:
            integrity.append(_remark(line.id, found["problem"], found["title"], found))
        whole = _total(summary["problems"].values())
        blocking: set[str] = set()
        for id, problem in summary["problems"].items():
            by_status = statuses.setdefault(id, {})
            by_status[problem["status"]] = by_status.get(problem["status"], 0) + 1
            blocking.update(problem["blocked_by"])
            policy += [
                _remark(line.id, id, f"{found['rule']} ({found['effect']})", found) for found in problem["policy"]
            ]
            for bug, says in problem["bugs"].items():
                bugs.setdefault((bug, id), (says, []))[1].append(line.id)
            assessed = problem["points"] - problem["unassessed"]
            if assessed <= 0:
                continue
            rest = _share(whole[0] - problem["earned"], whole[1] - assessed)
            problems.setdefault(id, _Marks()).add(problem["earned"] / assessed, rest)
            for claim, outcome in problem["claims"].items():
                if outcome not in ("absent", "not_run"):
                    claims.setdefault(id, {}).setdefault(claim, _Marks()).add(float(outcome == "pass"), rest)
        for id in blocking:
            blocks[id] = blocks.get(id, 0) + 1
    items = [
        ProblemItem(
            marks.item(id),
            tuple(sorted((one.item(claim) for claim, one in claims.get(id, {}).items()), key=lambda item: item.rate)),
            blocks.get(id, 0),
            statuses[id],
        )
        for id, marks in problems.items()
    ]
    common = [CommonBug(bug, id, says, tuple(who)) for (bug, id), (says, who) in bugs.items()]
    ordered = sorted(percents)
    return ClassStatistics(
        states={state: states[state] for state in map(str, GradeState) if state in states},
        bins=histogram(percents),
        mean=sum(percents) / len(percents) if percents else None,
        median=(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2 if ordered else None,
        problems=tuple(items),
        bugs=tuple(sorted(common, key=lambda bug: -len(bug.who))),
        integrity=tuple(integrity),
        policy=tuple(policy),
        students=tuple(students),
    )


def histogram(percents: Iterable[float]) -> tuple[int, ...]:
    """How many lie in each tenth; 100 belongs to the last."""
    bins = [0] * _BINS
    for percent in percents:
        bins[min(_BINS - 1, int(percent * _BINS // 100))] += 1
    return tuple(bins)


def _total(problems: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    earned = assessed = 0.0
    for problem in problems:
        earned += problem["earned"]
        assessed += problem["points"] - problem["unassessed"]
    return earned, assessed


def _share(earned: float, assessed: float) -> float | None:
    return earned / assessed if assessed > 1e-9 else None


def _remark(who: str, problem: str, what: str, found: Mapping[str, Any]) -> Remark:
    return Remark(who, problem, what, found["where"], found["evidence"])


def _line(row: ClassRow) -> StudentLine:
    students, summary = row.submission.students, row.grade.summary
    names = ", ".join(one.name for one in students if one.name)
    words = [row.submission.id, names, *(one.id for one in students), *(one.email for one in students)]
    score: Mapping[str, Any] = summary["score"] if summary else {"earned": None, "assessed": None}
    for id, problem in summary["problems"].items() if summary else ():
        if problem["status"] != "pass":
            words.append(f"{id}:{problem['status']}")
        words += problem["bugs"]
    return StudentLine(
        id=row.submission.id,
        names=names,
        state=str(row.grade.state),
        earned=score["earned"],
        assessed=score["assessed"],
        percent=100 * score["earned"] / score["assessed"] if score["assessed"] else None,
        seconds=row.grade.seconds,
        looks=row.looks,
        find=" ".join(words).casefold(),
        page=f"reports/{row.submission.id}/{PAGE}" if summary else "",
    )
