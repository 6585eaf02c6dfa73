"""What `watch` shows. Pure: from what is known to what is printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from rich.columns import Columns
from rich.console import RenderableType
from rich.text import Text

from ..escape import visible
from ..report import words
from ..report.model import ProblemReport, Report
from ..report.remembered import Remembered
from ..report.terminal import STYLE, from_scratch_panel, what_is_wrong
from ..rules.reach import ANSWERS
from ..scoring.points import Status
from ..scoring.rubric import ProblemKind, Rubric
from .milestones import bar
from .work import BROKEN, held_up, is_watched, next_todo, points

_BAR = 20
_PANELS = 2
_NAMED = 4
_IMPORTING = ("ImportError: ", "ModuleNotFoundError: ", "importing ")


@dataclass(frozen=True)
class View:
    """What is known when the screen is drawn.

    saved: the files that were saved last; reports: what ran since then, in this order; results: what is remembered of
    every problem; waiting: what has not run yet; running: whether something does; said: what a key or an event has to
    say; scope: the problem that is watched, or "" for all; place: what `o` would open.
    """

    rubric: Rubric
    results: Mapping[str, Remembered] = field(default_factory=dict)
    saved: tuple[str, ...] = ()
    reports: tuple[Report, ...] = ()
    waiting: tuple[str, ...] = ()
    running: bool = False
    said: str = ""
    scope: str = ""
    place: tuple[str, int] | None = None
    has_keys: bool = True


def draw(view: View) -> Iterator[RenderableType]:
    """The whole screen, from the top: what was saved, what came of it, how far the assignment is, and the keys."""
    if view.saved:
        more = f" and {len(view.saved) - _NAMED} more" if len(view.saved) > _NAMED else ""
        yield Text(f"saved: {visible(', '.join(view.saved[:_NAMED]))}{more}", style="dim")
    yield from _outcomes(view)
    unimported = [(problem, said) for problem in _ran(view) if (said := why_not_imported(problem))]
    for said in dict.fromkeys(said for _, said in unimported):
        names = ", ".join(problem.problem.id for problem, why in unimported if why == said)
        yield Text(f"{names}: {said}", style="red")
    left_out = [problem for problem, _ in unimported]
    panels = [panel for report in view.reports for panel in what_is_wrong(_without(report, left_out))]
    yield from panels[:_PANELS]
    if len(panels) > _PANELS:
        yield Text(f"{len(panels) - _PANELS} more problems fail; first things first.", style="dim")
    for report in view.reports:
        if panel := from_scratch_panel(report):
            yield panel
    if view.said:
        yield Text(view.said)
    yield Text()
    yield _progress(view)
    if todo := _todo(view):
        yield todo
    if view.has_keys:
        yield _keys(view)


def _outcomes(view: View) -> Iterator[Columns]:
    """A word for each problem that ran; where many pass, or are unwritten, their number."""
    ran = _ran(view)
    few: list[Text] = []
    for status in (Status.ERROR, Status.FAIL, Status.PARTIAL, Status.PASS, Status.TODO, Status.NOT_PROVIDED):
        these = [problem for problem in ran if problem.score.status is status]
        mark, _, word = words.STATUS[status].partition(" ")
        if len(these) > _NAMED and status in (Status.PASS, Status.TODO):
            few.append(Text(f"{mark} {len(these)} problems {word}", style=STYLE[status]))
            continue
        for problem in these:
            text = Text(f"{mark} {problem.problem.id} ", style=STYLE[status])
            few.append(text.append(word if status is Status.TODO else problem.passed, style="dim"))
    if few:
        yield Columns(few, padding=(0, 3))


def _ran(view: View) -> list[ProblemReport]:
    return [problem for report in view.reports if not report.load_fault for problem in report.problems]


def why_not_imported(problem: ProblemReport) -> str:
    """One sentence for a problem whose code could not even be imported, as all of its tests say alike; else ""."""
    messages = {test.outcome.message for test in problem.failing}
    if problem.score.status is not Status.ERROR or len(messages) != 1:
        return ""
    (message,) = messages
    return message if message.startswith(_IMPORTING) and "\n" not in message else ""


def _without(report: Report, problems: Collection[ProblemReport]) -> Report:
    return dataclasses.replace(report, problems=tuple(p for p in report.problems if p not in problems))


def _progress(view: View) -> Text:
    base = [p for p in view.rubric.problems if p.section in view.rubric.base_sections and is_watched(p)]
    earned, possible = points(view.results, base)
    done = sum(view.results[p.id].status is Status.PASS for p in base if p.id in view.results)
    text = Text(bar(earned, possible, _BAR), style="green")
    text.append(f" {earned:g} of {possible:g} points, {done} of {len(base)} problems", style="bold")
    return text


def _todo(view: View) -> Text | None:
    if view.waiting and not view.running and (broken := held_up(view.waiting, view.results, view.rubric)):
        return Text(
            f"{len(view.waiting)} problems build on {', '.join(broken)} and run once that is mended.", style="dim"
        )
    name = view.scope or next_todo(view.results, view.rubric)
    if name is None:
        return Text("All code is done; python -m grader status lists the experiments.")
    known = view.results.get(name)
    if known is not None and known.status is Status.PASS:
        following = next_todo(view.results, view.rubric)
        return Text(f"{name} is done." + (f" Next: python -m grader watch {following}" if following else ""))
    if known is not None and known.status in (*BROKEN, Status.PARTIAL):
        return Text(f"next: mend {name}")
    does = f"answer {name} in {ANSWERS}" if view.rubric[name].kind is ProblemKind.ANSWER else f"write {name}"
    return Text(f"next: {does} (python -m grader explain {name})")


def _keys(view: View) -> Columns:
    keys = {"h": "hint", "a": "all", "q": "quit"}
    if view.place:
        file, line = view.place
        keys = {"h": "hint", "o": f"open {PurePosixPath(file).name}:{line}", **keys}
    shown = [Text.assemble((key, "bold"), (f" {does}", "dim")) for key, does in keys.items()]
    return Columns(shown, padding=(0, 3))


def subject(view: View) -> tuple[ProblemReport, Report] | None:
    """The problem that hints are about: the most urgent that failed, the next one to write, or the first that ran."""
    failed = [(problem, report) for report in view.reports for problem in report.most_urgent_first]
    ran = [(problem, report) for report in view.reports for problem in report.problems]
    todo = next_todo(view.results, view.rubric)
    following = [(problem, report) for problem, report in ran if problem.problem.id == todo]
    return next(iter((*failed, *following, *ran)), None)
