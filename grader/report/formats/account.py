"""What a report says of each problem, in words that every format repeats. Pure.

What there is to say was decided where the report was put together (`report/model.py`): remarks, what is begun, and
which failures have one cause are in its JSON form.

Whatever a submission wrote is made visible here, once: no format has to fear a control character. What its own
syntax gives a meaning to, each format has to escape for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...escape import visible
from ...scoring.points import Status

_LONGEST = 4000  # characters of one message


@dataclass(frozen=True)
class Complaint:
    """One thing that went wrong, in however many claims it shows.

    claims: what should hold, first line of each; file, line: where it begins, "" and 0 where that is not known.
    """

    test: str
    claims: tuple[str, ...]
    message: str
    bug: str = ""
    hint: str = ""
    clue: str = ""
    file: str = ""
    line: int = 0

    @property
    def headline(self) -> str:
        """The bug if it is known, else what should hold."""
        return self.bug or self.claims[0]

    def lines(self) -> Iterator[str]:
        """All of it, for a reader of plain text."""
        yield self.headline
        if self.hint:
            yield self.hint
        if self.bug:
            yield from (f"It breaks: {claim}" for claim in self.claims)
        yield f"{self.test}: {self.message}" if self.message else self.test
        if self.clue:
            yield self.clue
        if self.file:
            yield f"Look at {self.file}, line {self.line}."


@dataclass(frozen=True)
class Account:
    """One problem: points that could be earned here are `assessed`, of `points` in all."""

    id: str
    title: str
    section: str
    status: Status
    earned: float
    assessed: float
    points: float
    remark: str
    complaints: tuple[Complaint, ...]

    @property
    def passed(self) -> bool:
        """Whether all of it could be assessed or nothing was wrong with what could."""
        return self.status is Status.PASS

    def text(self) -> str:
        """What went wrong, as plain text; for a pass, that it passed."""
        parts = [self.remark] if self.remark else []
        parts += ["\n".join(complaint.lines()) for complaint in self.complaints]
        return "\n\n".join(parts) or str(self.status).replace("_", " ")


def accounts(report: Mapping[str, Any], *, extensions: bool = True) -> list[Account]:
    """An account of each problem that was asked for, in the report's order; not of an extension that nobody began.

    Args:
        extensions: also of those of sections that have a total of their own.
    """
    begun = {problem["section"] for problem in report["problems"] if problem["begun"]}
    return [
        _account(problem)
        for problem in report["problems"]
        if problem["section"] in begun and (extensions or problem["section"] not in report["extensions"])
    ]


def _account(problem: Mapping[str, Any]) -> Account:
    return Account(
        id=problem["id"],
        title=problem["title"],
        section=problem["section"],
        status=Status(problem["status"]),
        earned=problem["earned"],
        assessed=round(problem["points"] - problem["unassessed"], 2),
        points=problem["points"],
        remark=_remark(problem),
        complaints=tuple(_complaints(problem)),
    )


def _remark(problem: Mapping[str, Any]) -> str:
    remark = visible(problem["remark"])
    said = f"{remark[:1].upper()}{remark[1:]}.".replace("..", ".") if remark else ""
    return " ".join(filter(None, (said, visible(problem.get("manual", {}).get("comment", "")))))


def _complaints(problem: Mapping[str, Any]) -> Iterator[Complaint]:
    """The report's own troubles, in its order."""
    tests = {test["id"]: test for test in problem["tests"]}
    for trouble in problem["troubles"]:
        yield _complaint([tests[id] for id in trouble["tests"]])


def _complaint(tests: list[Mapping[str, Any]]) -> Complaint:
    test = tests[0]
    bug, clue = test["misconception"] or {}, test["clue"] or {}
    return Complaint(
        test=visible(test["id"].partition("::")[2]),
        claims=tuple(dict.fromkeys(visible(other["title"]) for other in tests)),
        message=visible(test["message"])[:_LONGEST] or str(test["outcome"]),
        bug=visible(bug.get("diagnosis", "")),
        hint=visible(bug.get("hint", "")),
        clue=visible(" ".join(clue.get("says", ()))),
        file=visible(clue.get("file", "")),
        line=clue.get("line", 0),
    )
