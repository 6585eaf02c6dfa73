"""What runs next. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ..report.remembered import Remembered
from ..scoring.points import Status
from ..scoring.rubric import Problem, ProblemKind, Rubric

DONE = (Status.PASS, Status.NOT_ASSESSED, Status.NOT_PROVIDED)
BROKEN = (Status.FAIL, Status.ERROR)


def is_watched(problem: Problem) -> bool:
    """Whether saving a file can tell something about a problem at once: experiments take minutes, and races quiet."""
    return problem.kind in (ProblemKind.CODE, ProblemKind.ANSWER)


def merged(first: Iterable[str], waiting: Iterable[str], rubric: Rubric) -> tuple[str, ...]:
    """Problems that wait to run, each once, in the rubric's order."""
    wanted = {*first, *waiting}
    return tuple(problem.id for problem in rubric.problems if problem.id in wanted)


def next_batch(waiting: Sequence[str], results: Mapping[str, Remembered], rubric: Rubric) -> tuple[str, ...]:
    """The problems to run next, in the rubric's order.

    First those that build on no other one that waits, so that their answer is there soon; then all others. One that
    builds on what is known to be broken goes on waiting: it could say nothing new.
    """
    broken = {name for name, known in results.items() if known.status in BROKEN and name not in waiting}
    ready = [name for name in waiting if not broken.intersection(_below(name, rubric))]
    first = [name for name in ready if not set(waiting).intersection(_below(name, rubric))]
    return tuple(first or ready)


def held_up(waiting: Sequence[str], results: Mapping[str, Remembered], rubric: Rubric) -> tuple[str, ...]:
    """What the problems that wait in vain are waiting for."""
    broken = [problem.id for problem in rubric.problems if _is_broken(problem.id, results)]
    return tuple(name for name in broken if any(name in _below(other, rubric) for other in waiting))


def next_todo(results: Mapping[str, Remembered], rubric: Rubric) -> str | None:
    """The problem to work on next, or None when everything is done.

    What does not pass yet comes before what is unwritten, unless it builds on something that has to be fixed first;
    then the first unwritten problem of the section in which a problem last came to pass; then the first one at all.
    """
    base = [p for p in rubric.problems if p.section in rubric.base_sections and is_watched(p)]
    begun = [p for p in base if p.id in results and results[p.id].status in (*BROKEN, Status.PARTIAL)]
    for problem in begun:
        if not any(_is_broken(name, results) for name in _below(problem.id, rubric)):
            return problem.id
    todo = [p for p in base if p.id not in results or results[p.id].status is Status.TODO]
    passed = [p for p in base if p.id in results and results[p.id].status is Status.PASS]
    section = passed[-1].section if passed else ""
    ready = [p for p in todo if not {name for name in p.needs if name in {q.id for q in todo}}]
    return next((p.id for p in (*[p for p in ready if p.section == section], *ready)), None)


def outdated(problems: Iterable[Problem], results: Mapping[str, Remembered], states: Mapping[str, str]) -> list[str]:
    """The problems of which nothing is known for the files as they are now."""
    return [p.id for p in problems if p.id not in results or results[p.id].code != states.get(p.id)]


def points(results: Mapping[str, Remembered], problems: Collection[Problem]) -> tuple[float, float]:
    """(points earned, points of all of these problems)."""
    earned = sum(results[problem.id].earned for problem in problems if problem.id in results)
    return round(earned, 2), round(sum(problem.points for problem in problems), 2)


def _is_broken(problem: str, results: Mapping[str, Remembered]) -> bool:
    return problem in results and results[problem].status in BROKEN


def _below(problem: str, rubric: Rubric) -> set[str]:
    return {needed.id for needed in rubric.below([rubric[problem]])}
