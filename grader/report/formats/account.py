"""What a report says of each problem, in words that every format repeats. Pure.

Whatever a submission wrote is made visible here, once: no format has to fear a control character. What its own
syntax gives a meaning to, each format has to escape for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...escape import visible
from ...scoring.outcome import Result, Tier
from ...scoring.points import Status

_FINE = (Result.PASS, Result.ABSENT)
_LONGEST = 4000  # characters of one message


@dataclass(frozen=True)
class Complaint:
    """One thing that went wrong: the first failing case of a claim, or all claims that one known bug explains.

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
    begun = {problem["section"] for problem in report["problems"] if not _is_unbegun(problem)}
    return [
        _account(problem)
        for problem in report["problems"]
        if problem["section"] in begun and (extensions or problem["section"] not in report["extensions"])
    ]


def _is_unbegun(problem: Mapping[str, Any]) -> bool:
    """Whether it was settled without its tests, since nothing of it is written."""
    return problem["kind"] == "code" and not problem["tests"] and problem["status"] in ("todo", "not_provided")


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
    remarks = []
    if any(finding["effect"] == "zero" for finding in problem["policy"]):
        remarks.append("Ready-made code did what this problem asks for, so it earns no points.")
    if problem["blocked_by"]:
        remarks.append(f"First mend {', '.join(problem['blocked_by'])}.")
    if problem["note"]:
        note = visible(problem["note"])
        remarks.append(f"{note[:1].upper()}{note[1:]}.".replace("..", "."))
    if comment := problem.get("manual", {}).get("comment"):
        remarks.append(visible(comment))
    return " ".join(remarks)


def _complaints(problem: Mapping[str, Any]) -> Iterator[Complaint]:
    """Known bugs each once, then what none explains; the first case of each claim speaks for it."""
    first: dict[str, Mapping[str, Any]] = {}
    for test in sorted(problem["tests"], key=lambda test: (test["outcome"] == Result.NOT_RUN, test["clue"] is None)):
        counts = test["charged"] and not test["carried_forward"] and test["kind"] != Tier.ADVICE
        if counts and test["outcome"] not in _FINE:
            first.setdefault(test["id"].partition("[")[0], test)
    by_cause: dict[str, list[Mapping[str, Any]]] = {}
    for claim, test in first.items():
        cause = test["misconception"]["id"] if test["misconception"] else claim
        by_cause.setdefault(cause, []).append(test)
    for tests in sorted(by_cause.values(), key=lambda tests: tests[0]["misconception"] is None):
        yield _complaint(tests)


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
