"""Hints in steps: what should hold, then a check to run, then what the code does. One step per question asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .outcome import Result, Tier
from .report.model import ProblemReport, TestReport

STATE_FILE = Path(".grader", "hints.json")
"""Below the submission: how many hints have been given for which failure."""

_HELPFUL_LINES = 3


@dataclass(frozen=True)
class Hint:
    """One step towards a failure's cause; `step` of `steps`, counted from 1."""

    text: str
    step: int
    steps: int


def most_telling(problem: ProblemReport) -> TestReport | None:
    """The failing test to talk about: one that a known bug explains, before edge cases and carried failures."""
    failing = [test for test in problem.tests if test.outcome.result not in (Result.PASS, Result.ABSENT)]
    order = list(Tier)
    failing.sort(key=lambda test: (test.carried, test.bug is None, order.index(test.plan.tier), test.plan.fresh))
    return failing[0] if failing else None


def hints(test: TestReport) -> list[Hint]:
    """All steps for one failing test: the concept, a check, and the diagnosis if there is one."""
    texts = [f"This should hold: {test.plan.title}"]
    seen = "\n".join(test.outcome.message.splitlines()[:_HELPFUL_LINES])
    if test.bug:
        texts += [f"{test.bug.hint}\n{seen}", test.bug.diagnosis]
    else:
        texts.append(f"Look at {test.plan.id}:\n{seen}")
    return [Hint(text.strip(), step, len(texts)) for step, text in enumerate(texts, start=1)]


def next_hint(problem: ProblemReport, folder: Path) -> Hint | None:
    """The next step for a problem's most telling failure, remembered below `folder`; None when nothing fails.

    After the last step, the last one is given again.
    """
    test = most_telling(problem)
    if test is None:
        return None
    steps = hints(test)
    state_file = folder / STATE_FILE
    state = _read(state_file)
    key = f"{problem.problem.id}:{test.bug.id if test.bug else test.plan.claim}"
    given = min(state.get(key, 0) + 1, len(steps))
    state_file.parent.mkdir(parents=True, exist_ok=True)
    state_file.write_text(json.dumps({**state, key: given}, indent=2, sort_keys=True) + "\n", "utf-8")
    return steps[given - 1]


def _read(path: Path) -> dict[str, int]:
    """The remembered state; a missing or damaged file means that no hint was given yet."""
    try:
        state = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {str(key): value for key, value in state.items() if isinstance(value, int)} if isinstance(state, dict) else {}
    )
