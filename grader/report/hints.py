"""Hints in steps: what should hold, then a check to run, then what the code does. One step per question asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..scoring.outcome import Result, Tier
from ..scoring.points import Status
from ..scoring.races import RaceResult
from ..scoring.rubric import ProblemKind
from ..submission.files import Files
from .model import ProblemReport, Report, TestReport

STATE_FILE = ".grader/hints.json"
"""Below the submission: how many hints have been given for which failure."""

_HELPFUL_LINES = 3


@dataclass(frozen=True)
class Hint:
    """One step towards a failure's cause; `step` of `steps`, counted from 1."""

    text: str
    step: int
    steps: int


def reply(report: Report, folder: Path) -> str:
    """What `grader hint` says about the one problem of a report.

    Args:
        folder: that of the submission; how many hints were given is remembered below it.
    """
    (problem,) = report.problems
    name = problem.problem.id
    status = problem.score.status
    if report.load_fault:
        return report.load_fault
    if status is Status.NOT_ASSESSED:
        return f"{name} is not assessed: {problem.note}."
    if status is Status.NOT_PROVIDED:
        return f"{name}: the submission has no adapter for it."
    if status is Status.TODO:
        return f"{name} is not written yet. {_first_message(problem)}".strip()
    if problem.problem.kind is ProblemKind.PERFORMANCE:
        return _about_races(problem, folder)
    test = most_telling(problem)
    if test is None and problem.is_withheld:
        return f"{name} passes its tests; the from-scratch rule took its points. {problem.policy[0].evidence}"
    if test is None:
        return f"{name} passes all {_counted(problem)} tests; there is nothing to hint at."
    if test.carried:
        first = ", ".join(problem.blocked_by)
        return (
            f"{name} fails only with what is wrong in {first}. Ask there: python -m grader hint {first.split(', ')[0]}"
        )
    said = _next_step(name, test.bug.id if test.bug else test.plan.claim, hints(test), folder)
    if test.plan.tier is Tier.ADVICE:
        passes = f"{name} passes all {_counted(problem)} tests that count."
        return f"{passes} What follows is advice: it costs no points.\n\n{said}"
    return said


def most_telling(problem: ProblemReport) -> TestReport | None:
    """The failing test to talk about: what costs points, then what is carried forward, then advice.

    Of those that cost points, one that a known bug explains comes first, and edge cases last.
    """
    fine = (Result.PASS, Result.ABSENT)
    failing = [test for test in problem.tests if test.charged and test.outcome.result not in fine]

    def order(test: TestReport) -> tuple[bool, ...]:
        is_advice, not_run = test.plan.tier is Tier.ADVICE, test.outcome.result is Result.NOT_RUN
        return is_advice, not_run, test.carried, test.bug is None, test.plan.tier is Tier.EDGE, test.plan.fresh

    return min(failing, key=order, default=None)


def hints(test: TestReport) -> list[str]:
    """All steps for one failing test: the concept, a check, the diagnosis if there is one, and further clues."""
    texts = [f"This should hold: {test.plan.title}"]
    seen = "\n".join(test.outcome.message.splitlines()[:_HELPFUL_LINES])
    clue = ""
    if test.clue:
        place = ", called from ".join(f"{file}:{line}" for file, line in test.clue.way)
        says = test.clue.says or ("Your code stops here:",)
        clue = "\n".join([*says, *([place] if test.clue.file else [])])
    if test.bug:
        texts += [f"{test.bug.hint}\n{seen}", f"{test.bug.diagnosis}\n{clue}".strip()]
    else:
        texts += [f"Look at {test.plan.id}:\n{seen}", *([clue] if clue else [])]
    return texts


def _about_races(problem: ProblemReport, folder: Path) -> str:
    """The same for speed: how fast it should be, how fast it is, and how to find out why."""
    name = problem.problem.id
    if problem.is_withheld or problem.blocked_by:
        first = problem.blocked_by[0] if problem.blocked_by else name
        return f"{name}: first correct, then fast. Ask there: python -m grader hint {first}"
    short = [race for race in problem.races if race.status != "measured" or race.share < 1]
    if not short:
        return f"{name} has full points in {problem.passed}; there is nothing to hint at."
    race = min(short, key=lambda race: (race.status == "measured", race.share))
    return _next_step(name, race.tensors, _race_hints(race), folder)


def _race_hints(race: RaceResult) -> list[str]:
    if race.status != "measured":
        return [f"{race.tensors}: {race.status.replace('_', ' ')}.\n{race.message}"]
    return [
        f"This should hold: with {race.tensors}, your code takes at most {race.full:g} times as long as the reference.",
        f"It took {race.ratio:.2f} times as long ({race.student_ms:.3g} ms for one call, where the reference took "
        f"{race.reference_ms:.3g} ms); from {race.none:g} times on there are no points.",
        "Where does the time go? Run your code on an input of that size below `python -m cProfile -s cumulative`, and "
        "ask of the first lines what they do more often than they need to.",
    ]


def _next_step(problem: str, failure: str, texts: Sequence[str], folder: Path) -> str:
    hint, note = _given(f"{problem}:{failure}", texts, folder)
    said = f"hint {hint.step} of {hint.steps} for {problem}\n\n{hint.text}"
    if hint.step < hint.steps:
        said += f"\n\nThe next one: python -m grader hint {problem}"
    return f"{said}\n\n{note}" if note else said


def _given(key: str, texts: Sequence[str], folder: Path) -> tuple[Hint, str]:
    """The next step, which is remembered below `folder`, and why it could not be, or "".

    After the last step, the last one is given again.
    """
    files = Files(folder)
    state = _read(files)
    step = min(max(state.get(key, 0), 0) + 1, len(texts))
    why_not = files.remember(STATE_FILE, {**state, key: step})
    note = f"This hint is not remembered: {why_not}" if why_not else ""
    return Hint(texts[step - 1].strip(), step, len(texts)), note


def _read(files: Files) -> dict[str, int]:
    """The remembered state; a missing or damaged file means that no hint was given yet."""
    state = files.recall(STATE_FILE)
    return {str(key): value for key, value in state.items() if type(value) is int} if isinstance(state, dict) else {}


def _first_message(problem: ProblemReport) -> str:
    return next((test.outcome.message for test in problem.tests if test.outcome.result is Result.TODO), "")


def _counted(problem: ProblemReport) -> int:
    """How many tests decide about the points."""
    return sum(test.charged and test.plan.tier is not Tier.ADVICE for test in problem.tests)
