"""The from-scratch rule, from evidence to findings. Pure, but for reading the submission's source.

Two kinds of evidence: *static*, what the source of the submission mentions where its adapters can reach it
(`reachable_names.py`), and *dynamic*, what was seen to run while tests called it (`worker/usage_monitor.py`) and
whether the answer came from it (`worker/probe.py`). What a name means in which problem is said in one place for both,
`worker/ready_made.py`.

Only what gave an answer may cost points, and only in a problem that asks for just this piece; the rest is for a person
to look at. One use costs once, in the first problem of the rubric that runs it.
"""

from __future__ import annotations

import collections
import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..escape import in_one_line
from ..scoring.rubric import Policy, Problem
from ..worker.loader import Layout
from ..worker.operation_table import adapters_of
from ..worker.ready_made import Rule, canonical, rule_against
from .meanings import Program, TooInvolved
from .reachable_names import Mention, reached_from


class Evidence(enum.StrEnum):
    """What a finding rests on."""

    STATIC = "static"
    DYNAMIC = "dynamic"


class Effect(enum.StrEnum):
    """What a finding does to the points of its problem.

    CARRIED: nothing, because the same use costs another problem's points.
    """

    ZERO = "zero"
    CARRIED = "carried"
    WARN = "warn"


@dataclass(frozen=True)
class Finding:
    """One breach of the rule in one problem.

    rule: stable id; where: `file:line` in the submission; evidence: a sentence.
    """

    problem: str
    rule: str
    where: str
    evidence: str
    kind: Evidence
    effect: Effect

    def as_json(self) -> dict[str, Any]:
        return {key: str(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class _Use:
    """One use of a forbidden name: where, how (see `worker/usage_monitor.py`), and the rule against it."""

    name: str
    where: str
    how: str
    rule: Rule

    @property
    def is_answer(self) -> bool:
        """Whether it is known that this use takes the place of what the problem asks for."""
        return self.rule.ready_made and _HOW.get(self.how, False)

    @property
    def subject(self) -> tuple[str, str]:
        """What is reported once: a name of torch in a file, or a whole library of tokenizers in a file."""
        root = self.name.partition(".")[0]
        return self.name if root == "torch" else root, self.where.rpartition(":")[0]


def mentions_in(layout: Layout, problems: Iterable[Problem]) -> dict[str, list[Mention]]:
    """{problem: what its adapters can reach of other libraries}, from the source alone."""
    mentions: dict[str, list[Mention]] = {}
    try:
        program = Program(Path(layout.root), layout.adapters, layout.package, layout.import_path)
        for problem in problems:
            mentions[problem.id] = reached_from(program, adapters_of(problem.id))
    except (RecursionError, TooInvolved, OSError, ValueError):
        return mentions  # of source nested or entangled beyond reason, or unreadable; what runs is still seen
    return mentions


def worth_keeping(problem: str, uses: Iterable[Any], kept: Sequence[Any], most: int) -> list[Any]:
    """The uses to add to those that are kept for a problem.

    Those that give the answer, others of what the problem asks for, and the rest do not take each other's room.

    Args:
        uses, kept: as they came from behind the wall.
        most: how many of each sort may be kept, a few of each name.
    """
    chosen: list[Any] = []
    sorts = collections.Counter(_sort(use, problem) for use in kept)
    names = collections.Counter((_sort(use, problem), use["name"]) for use in kept)
    for use in filter(_is_use, uses):
        sort = _sort(use, problem)
        if (
            sort is None
            or use in kept
            or use in chosen
            or sorts[sort] >= most
            or names[sort, use["name"]] >= _OF_A_NAME
        ):
            continue
        sorts[sort] += 1
        names[sort, use["name"]] += 1
        chosen.append(use)
    return chosen


def _sort(use: Mapping[str, str], problem: str) -> tuple[bool, bool] | None:
    """Whether a use is of what the problem asks for, and gives the answer; None where it may be used."""
    rule = rule_against(use["name"], problem)
    return None if rule is None else (rule.ready_made, _HOW[use["how"]])


def find_breaches(
    problems: Sequence[Problem],
    mentions: Mapping[str, Sequence[Mention]],
    uses_seen: Mapping[str, Sequence[Any]],
) -> dict[str, tuple[Finding, ...]]:
    """Put the evidence together: {problem: findings}, for problems that have any.

    Args:
        problems: in the order of the rubric.
        mentions: static evidence, from `mentions_in`.
        uses_seen: dynamic evidence as it came from behind the wall, so anything at all.
    """
    findings: dict[str, tuple[Finding, ...]] = {}
    counted: dict[tuple[str, str], str] = {}
    shown: set[tuple[str, str]] = set()
    for problem in problems:
        ran = _seen_to_run(problem, uses_seen.get(problem.id, ()))
        here = [_from_dynamic(problem, use, counted) for use in _one_per_file(ran, counted)]
        subjects = {use.subject for use in ran}
        for use in _mentioned(problem, mentions.get(problem.id, ())):
            if use.subject not in subjects and (use.name, use.where) not in shown:
                here.append(_from_static(problem, use))
                subjects.add(use.subject)
            shown.add((use.name, use.where))
        for use in ran:
            if use.is_answer and problem.policy is Policy.ZERO:
                counted.setdefault((use.name, use.where), problem.id)
            shown.add((use.name, use.where))
        if here:
            findings[problem.id] = tuple(sorted(here, key=lambda finding: list(Effect).index(finding.effect)))
    return findings


_OF_A_NAME = 5
_PLAIN_NAME = re.compile(r"[A-Za-z_][\w.<>]{0,199}")
_HOW = {"answer": True, "returned": True, "derived": True, "ran": False, "beside": False}
"""What the usage monitor says of a use, and whether the answer is known to come from it."""


def _is_use(record: Any) -> bool:
    """Whether what came from behind the wall has the form of a use."""
    match record:
        case {"name": str(name), "where": str(), "how": str(how)}:
            return bool(_PLAIN_NAME.fullmatch(name)) and how in _HOW
    return False


def _seen_to_run(problem: Problem, uses_seen: Iterable[Any]) -> list[_Use]:
    """The uses_seen uses that the rule forbids in this problem."""
    uses = []
    for record in filter(_is_use, uses_seen):
        if rule := rule_against(record["name"], problem.id):
            uses.append(_Use(record["name"], in_one_line(record["where"]), record["how"], rule))
    return list(dict.fromkeys(sorted(uses, key=lambda use: (_place(use.where), use.name))))


def _mentioned(problem: Problem, mentions: Iterable[Mention]) -> list[_Use]:
    uses = []
    for mention in mentions:
        name = canonical(mention.name)
        if rule := rule_against(name, problem.id):
            uses.append(_Use(name, mention.where, "derived" if mention.is_base else "mentioned", rule))
    return sorted(uses, key=lambda use: (_place(use.where), use.name))


def _place(where: str) -> tuple[str, int]:
    file, _, line = where.rpartition(":")
    return file, int(line) if line.isascii() and line.isdigit() else 0


def _one_per_file(uses: Iterable[_Use], counted: Mapping[tuple[str, str], str]) -> list[_Use]:
    """The first use of each subject: answers before others, and new uses before those that already count elsewhere."""
    first: dict[tuple[str, str], _Use] = {}
    for use in sorted(uses, key=lambda use: (not use.is_answer, use.how == "ran", (use.name, use.where) in counted)):
        first.setdefault(use.subject, use)
    return list(first.values())


_HAPPENED = {
    "answer": "{name} ran when this line called it, and the answer comes from it",
    "returned": "this adapter returned {name}, or something made of it",
    "derived": "this class, which ran, is derived from {name}",
    "ran": "{name} ran when this line called it",
    "beside": "{name} ran when this line called it, though the answer does not come from it",
}


def _from_dynamic(problem: Problem, use: _Use, counted: Mapping[tuple[str, str], str]) -> Finding:
    evidence = f"{_HAPPENED[use.how].format(name=use.name)}; {use.rule.says}."
    if use.rule.ready_made and use.how == "ran":
        evidence += " Whether the answer comes from it could not be found out: a person decides."
    finding = Finding(problem.id, use.rule.id, use.where, evidence, Evidence.DYNAMIC, Effect.ZERO)
    if (earlier := counted.get((use.name, use.where))) and problem.policy is Policy.ZERO:
        evidence = f"{finding.evidence} The same use counts in {earlier} already."
        return replace(finding, evidence=evidence, effect=Effect.CARRIED)
    if not use.is_answer or problem.policy is Policy.WARN:
        return replace(finding, effect=Effect.WARN)
    return finding


def _from_static(problem: Problem, use: _Use) -> Finding:
    what = f"this class is derived from {use.name}" if use.how == "derived" else f"{use.name} is used here"
    adapters = " or ".join(adapters_of(problem.id))
    evidence = f"{what}, where {adapters} can reach it; {use.rule.says}. It was not seen to run: a person decides."
    return Finding(problem.id, use.rule.id, in_one_line(use.where), evidence, Evidence.STATIC, Effect.WARN)
