"""`python -m grader status`: how far the assignment is, in the stages of the handout, and what comes next."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ..guide.explanation import HANDOUT
from ..report import words
from ..report.remembered import Remembered, recall
from ..report.terminal import STYLE
from ..rules.reach import reach_of, state_of
from ..scoring.points import Status
from ..scoring.rubric import Problem, Rubric
from ..submission.files import Files
from ..submission.locate import locate
from .work import DONE, is_watched, next_todo, outdated, points

_ROW = re.compile(
    r"^\| (?P<name>[^|]+) \| (?P<problems>[^|]+) \| (?P<least>\d+) to (?P<most>\d+)(?P<more>[^|]*) \|$", re.M
)
_REST = "the rest"
_BAR = 12


@dataclass(frozen=True)
class Stage:
    """A stage of the assignment, as the handout divides it.

    hours: about how many it takes, (least, most); more: what it takes besides, as in ", and machine time".
    """

    name: str
    problems: tuple[Problem, ...]
    hours: tuple[float, float]
    more: str = ""


@dataclass(frozen=True)
class Standing:
    """How far a stage is: points, and the problems that are not done, with what is known of them."""

    stage: Stage
    earned: float
    possible: float
    open: tuple[str, ...]

    @property
    def hours(self) -> tuple[float, float]:
        """About how many are left: the stage's hours, in proportion to the points of what is not done."""
        whole = sum(problem.points for problem in self.stage.problems)
        left = sum(problem.points for problem in self.stage.problems if problem.id in self.open)
        share = left / whole if whole else 0.0
        return self.stage.hours[0] * share, self.stage.hours[1] * share


def status_of(named: str, rubric: Rubric) -> RenderableType:
    """What `status` says of the submission in a folder.

    Raises:
        Refused: there is none.
    """
    layout = locate(named)
    files = Files(layout.root)
    results = recall(files)
    reach = reach_of(layout, rubric.problems)
    known = [problem for problem in rubric.problems if problem.id in results]
    old = outdated(known, results, {name: state_of(files, found) for name, found in reach.items()})
    handout = HANDOUT.read_text("utf-8") if HANDOUT.is_file() else ""
    return render(standings(stages_in(handout, rubric), results), results, old, rubric, time.time())


def stages_in(handout: str, rubric: Rubric) -> list[Stage]:
    """The table of the handout that divides the assignment into stages with hours; empty where there is none."""
    base = [problem for problem in rubric.problems if problem.section in rubric.base_sections]
    rows = list(_ROW.finditer(handout))
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row["problems"])}
    stages = []
    for row in rows:
        rest = row["problems"].strip() == _REST
        ids = {p.id for p in base} - named if rest else set(re.findall(r"`(\w+)`", row["problems"]))
        members = tuple(problem for problem in base if problem.id in ids)
        stages.append(
            Stage(row["name"].strip(), members, (float(row["least"]), float(row["most"])), row["more"].strip())
        )
    return stages


def standings(stages: Sequence[Stage], results: Mapping[str, Remembered]) -> list[Standing]:
    """How far each stage is, by what is remembered."""
    found = []
    for stage in stages:
        open_ones = tuple(p.id for p in stage.problems if p.id not in results or not _is_done(results[p.id], p))
        found.append(Standing(stage, *points(results, stage.problems), open_ones))
    return found


def _is_done(known: Remembered, problem: Problem) -> bool:
    """What cannot be assessed here is done as code, but an experiment that nobody has made is not."""
    return known.status in DONE if is_watched(problem) else known.status is Status.PASS


def render(
    standings: Sequence[Standing],
    results: Mapping[str, Remembered],
    outdated: Sequence[str],
    rubric: Rubric,
    now: float,
) -> RenderableType:
    """For a terminal.

    Args:
        outdated: problems that were looked at before the files that they rest on were changed; now: seconds since 1970.
    """
    shown: list[RenderableType] = []
    names = max((len(standing.stage.name) for standing in standings), default=0)
    figures = max((len(_figures(standing)) for standing in standings), default=0)
    for standing in standings:
        mark, style = _mark(standing, results)
        filled = bar(standing.earned, standing.possible, _BAR)
        shown.append(
            Text(f"{mark} {standing.stage.name:{names}}  {filled}  {_figures(standing):>{figures}}", style=style)
        )
        if standing.open:
            shown.append(Padding(_open(standing, results), (0, 0, 0, 4)))
    shown.append(Text())
    earned, possible = sum(s.earned for s in standings), sum(s.possible for s in standings)
    least, most = sum(s.hours[0] for s in standings), sum(s.hours[1] for s in standings)
    hours = f" About {least:.0f} to {most:.0f} hours are left." if round(most) else ""
    shown.append(Text(f"{earned:g} of {possible:g} points.{hours}", style="bold"))
    shown += _next(results, rubric)
    shown += _age(results, outdated, now)
    return Group(*shown)


def _figures(standing: Standing) -> str:
    return f"{standing.earned:g} / {standing.possible:g}"


def _mark(standing: Standing, results: Mapping[str, Remembered]) -> tuple[str, str]:
    if not standing.open:
        return "✓", "green"
    touched = any(
        p.id in results and results[p.id].status is not Status.TODO for p in standing.stage.problems if is_watched(p)
    )
    return ("◐", "yellow") if touched else ("○", "")


def _open(standing: Standing, results: Mapping[str, Remembered]) -> Text:
    """What is not done: what was begun with its state, what is unwritten by its name alone."""
    text = Text()
    for problem in standing.open:
        known = results.get(problem)
        begun = known is not None and known.status not in (Status.TODO, Status.NOT_ASSESSED)
        text.append(", " if text else "")
        text.append(
            f"{problem} {words.STATUS[known.status]}" if known and begun else problem,
            style=STYLE[known.status] if known and begun else "dim",
        )
    return text


def _next(results: Mapping[str, Remembered], rubric: Rubric) -> list[Text]:
    name = next_todo(results, rubric)
    if name is None:
        return [Text("All code is done. What is left are experiments: see HANDOUT.md.")]
    known = results.get(name)
    if known is not None and known.status is not Status.TODO:
        return [Text(f"Next: {name} ({words.STATUS[known.status]}). See why: python -m grader watch {name}")]
    return [Text(f"Next: {name}. What it asks: python -m grader explain {name}")]


def _age(results: Mapping[str, Remembered], outdated: Sequence[str], now: float) -> list[Text]:
    """How old that is, and what to type where it no longer holds."""
    if not results:
        return [Text("Nothing was run here yet: python -m grader watch runs what you save.", style="dim")]
    newest, oldest = max(r.at for r in results.values()), min(r.at for r in results.values())
    span = (
        ago(now - newest) if ago(now - newest) == ago(now - oldest) else f"{ago(now - newest)} to {ago(now - oldest)}"
    )
    lines = [Text(f"As it was found {span}.", style="dim")]
    if outdated:
        names = " ".join(outdated[:6]) + (" ..." if len(outdated) > 6 else "")
        command = f"python -m grader --problem {' '.join(outdated)}" if len(outdated) <= 6 else "python -m grader"
        lines.append(Text(f"Changed since then: {names}. Look again: {command}", style="yellow"))
    return lines


def bar(earned: float, possible: float, width: int) -> str:
    """`█████░░░`; full only when all is earned."""
    filled = int(width * earned / possible) if possible else width
    return "█" * filled + "░" * (width - filled)


def ago(seconds: float) -> str:
    """`12 minutes ago`."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "just now"
