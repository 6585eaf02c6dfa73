"""The report on a terminal: a table of problems with their points, then what to look at first."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from ..rules.from_scratch import Effect
from ..scoring.outcome import Clue, Tier
from ..scoring.points import Status
from ..scoring.rubric import ProblemKind
from ..streams import say
from . import words
from .model import DifferenceMap, ProblemReport, Report, TestReport
from .race_lines import speed_panel

STYLE = {
    Status.PASS: "green",
    Status.PARTIAL: "yellow",
    Status.FAIL: "red",
    Status.TODO: "cyan",
    Status.NOT_PROVIDED: "dim",
    Status.ERROR: "red",
}
_HEADINGS = ("Problem", "Status", "Points", "Tests")
_GAP = "  "
_BELOW = 6
"""How far a remark below its row is indented."""

_MARKS = ".-+#"
_SHOWN_PER_PROBLEM = 3
_DETAIL_LINES = 8
_SUSPICIONS_SHOWN = 8
_ANSWER_LENGTH = 160


def show_safely(report: Report, console: Console) -> None:
    """Print the whole report; what is wrong with the terminal is no reason to lose it.

    Raises:
        Failed: it cannot be written there.
    """
    with safely(console) as page:
        show(report, page)


@contextlib.contextmanager
def safely(console: Console) -> Iterator[Console]:
    """A console like this one, of which everything is written at once when the block ends.

    Raises:
        Failed: it cannot be written there.
    """
    page = _Page(console.encoding)
    color = console.color_system
    yield Console(
        file=page,
        width=console.width,
        force_terminal=console.is_terminal,
        color_system=color if color in ("standard", "256", "truecolor", "windows") else None,  # type: ignore[arg-type]
        no_color=console.no_color,
        legacy_windows=False,
    )
    say(page.getvalue().removesuffix("\n"), sys.stderr if console.stderr else sys.stdout)


class _Page(io.StringIO):
    """What will be written at once, to something of this encoding: rich draws other boxes where it knows ASCII only."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def show(report: Report, console: Console) -> None:
    """Print the whole report."""
    console.print(*_problem_table(report, console.width), sep="\n")
    console.print()
    for sentence in (*_not_assessed(report), *words.unbegun(report), *_looked_at(report)):
        console.print(Text(sentence, style="dim"))
    for wrong in what_is_wrong(report):
        console.print(wrong)
    if panel := _advice(report):
        console.print(panel)
    if panel := speed_panel(report.speed):
        console.print(panel)
    if panel := _for_staff(report):
        console.print(panel)
    if panel := from_scratch_panel(report):
        console.print(panel)
    if panel := _integrity(report):
        console.print(panel)
    console.print(_summary(report))


def what_is_wrong(report: Report) -> Iterator[Panel]:
    """A panel for what kept everything from running, or for what is missing here; one for each problem that fails."""
    if report.load_fault:
        yield Panel(escape(report.load_fault), title="Nothing could run", border_style="red", title_align="left")
    elif panel := _missing_packages(report):
        yield panel
    for problem in report.most_urgent_first:
        if not (report.load_fault and problem.score.status is Status.ERROR) and (panel := _failures(problem, report)):
            yield panel


def _problem_table(report: Report, width: int) -> Iterator[RenderableType]:
    """A row for each problem; a remark for which a terminal of this width has no room beside it stands below it."""
    assessed = [problem for problem in report.listed if problem.score.status is not Status.NOT_ASSESSED]
    rows = {p.problem.id: (f"  {p.problem.id}", words.STATUS[p.score.status], p.points, p.passed) for p in assessed}
    columns = [max(map(cell_len, column)) for column in zip(_HEADINGS, *rows.values(), strict=True)]
    if sum(columns) + len(_GAP) * (len(columns) - 1) > width:
        columns.pop()  # on a phone's terminal the points matter more than the number of tests
    room = width - sum(columns) - len(_GAP) * len(columns)
    yield Text(_GAP.join(_aligned(_HEADINGS, columns)), style="bold")
    for section, members in groupby(assessed, key=lambda p: p.problem.section):
        yield Text(report.sections[section], style="bold")
        for problem in members:
            name, status, *numbers = _aligned(rows[problem.problem.id], columns)
            row = Text(_GAP).join([Text(name), Text(status, STYLE[problem.score.status]), *map(Text, numbers)])
            remark = Text(problem.remark, style="dim")
            if remark and cell_len(problem.remark) <= room:
                yield Text(_GAP).join([row, remark])
            else:
                yield row
                if remark:
                    yield Padding(remark, (0, 0, 0, _BELOW), expand=False)


def _aligned(cells: Sequence[str], columns: Sequence[int]) -> list[str]:
    """Words at the left of their column, numbers at the right; cells without a column are left out."""
    aligned = []
    for i, (cell, column) in enumerate(zip(cells, columns, strict=False)):
        blank = " " * (column - cell_len(cell))
        aligned.append(cell + blank if i < 2 else blank + cell)
    return aligned


def _not_assessed(report: Report) -> Iterator[str]:
    """One line per reason, with the problems that it keeps out of the total."""
    left_out = [problem for problem in report.listed if problem.score.status is Status.NOT_ASSESSED]
    for reason in dict.fromkeys(problem.note for problem in left_out):
        names = ", ".join(problem.problem.id for problem in left_out if problem.note == reason)
        yield f"Not assessed, {reason}: {names}"


def _looked_at(report: Report) -> Iterator[str]:
    """What failing problems build on, examined although nobody asked for it."""
    if found := [f"{p.problem.id} {words.STATUS[p.score.status]}" for p in report.found_below]:
        yield f"Looked at, without points: {', '.join(found)}"


def _missing_packages(report: Report) -> Panel | None:
    """Each package, or name of one, that is missing here, once, with the problems that need it."""
    if not report.missing_packages:
        return None
    lines = [f"{package}: needed by {', '.join(problems)}" for package, problems in report.missing_packages.items()]
    return Panel(
        Text("\n".join([*lines, "", words.INSTALL])), title=words.LACKING, title_align="left", border_style="red"
    )


def _failures(problem: ProblemReport, report: Report) -> Panel | None:
    """What went wrong in a problem, under its points."""
    if not problem.troubles:
        return None
    points = f"{problem.score.earned:g} of {problem.problem.points:g} points"
    if problem in report.looked_at:
        points = "looked at, without points"
    if problem.problem.kind is ProblemKind.MANUAL:
        points = "for the person who grades it"
    return troubles_panel(problem, report, f"{problem.problem.id}: {points}")


def troubles_panel(problem: ProblemReport, report: Report, title: str) -> Panel:
    """What went wrong in a problem, each cause once: core before edge, what is named before what is not."""
    troubles = problem.troubles
    shown: list[RenderableType] = []
    unexplained = sorted((trouble for trouble in troubles if not trouble.bug), key=lambda trouble: trouble.unknown)
    hidden = unexplained[_SHOWN_PER_PROBLEM:]
    if len(hidden) == 1:  # that there is one more takes as much room
        hidden = []
    for trouble in (trouble for trouble in troubles if trouble not in hidden):
        if trouble.bug:
            shown += [Text(trouble.bug.diagnosis, style="bold yellow"), Text(trouble.bug.hint, style="yellow")]
        shown += _describe(trouble.tests[0])
        if trouble.clue:
            shown += _clue(trouble.clue)
        elif trouble.map and not trouble.bug:  # otherwise it is known what is wrong, and where does not matter
            shown += _map(trouble.map)
        shown.append(Text())
        if others := ", ".join(test.name for test in trouble.tests[1:]):
            shown += [Text(f"The same shows in {others}.", style="dim"), Text()]
    if hidden:
        shown += [Text(f"{len(hidden)} more:", style="dim")]
        shown += [Text(f"  {trouble.tests[0].plan.title} {trouble.tests[0].name}", style="dim") for trouble in hidden]
        shown.append(Text())
    shown.append(Text(f"see it for yourself: {report.how_to_see(problem)}", style="dim"))
    return Panel(Group(*shown), title=title, title_align="left", border_style="yellow")


def _describe(test: TestReport) -> Iterator[Text]:
    heading = Text(test.plan.title, style="bold")
    if test.plan.tier is not Tier.CORE:
        heading.append(f"  ({test.plan.tier})", style="dim")
    yield heading
    if test.plan.tier is not Tier.CORE and test.plan.asked:
        yield Text(f"asked by: {test.plan.asked}", style="dim")
    yield Text(f"{test.name} {words.RESULT[test.outcome.result]}", style="red")
    for line in test.outcome.message.splitlines():
        yield Text(f"  {line}")
    for line in test.traceback[-_DETAIL_LINES:]:
        yield Text(f"  {line}", style="dim")


def _clue(clue: Clue) -> Iterator[Text]:
    """What was found out about a failure, and the lines of the submission that it is about."""
    for sentence in clue.says:
        yield Text(sentence, style="yellow")
    if clue.file and clue.says:  # where nothing is said, the traceback above has just named the place
        yield Text(f"  {clue.file}:{clue.line}", style="dim")
    for number, line in clue.code:
        mark, style = (">", "") if number == clue.line else (" ", "dim")
        yield Text(f"  {mark} {number:4d}  {line}", style=style)
    for file, number, line in clue.callers:
        place = f"{file}:{number}" if file != clue.file else f"line {number}"
        yield Text(f"    called from {place}:  {line}", style="dim")


def _map(map: DifferenceMap) -> Iterator[Text]:
    """A picture of where a tensor differs, in characters that every terminal has."""
    key = ", ".join(f"{mark} {means}" for mark, means in zip(_MARKS, words.LEVELS, strict=True))
    yield Text(f"  {words.map_of(map)} {key}.", style="dim")
    for row in map.cells:
        yield Text("    " + " ".join(_MARKS[int(level)] for level in row), style="dim")


def _advice(report: Report) -> Panel | None:
    """What a problem's code might do better, in two lines each: it costs nothing."""
    shown: list[Text] = []
    for problem in report.problems:
        for test in problem.advice:
            shown += [Text(f"{problem.problem.id}  {test.plan.title}", style="dim"), Text(f"  {test.why}")]
            if test.clue and test.clue.file:
                shown[-1].append(f"  {test.clue.file}:{test.clue.line}", style="dim")
    if not shown:
        return None
    shown.append(Text(words.ADVICE, style="dim"))
    return Panel(Group(*shown), title="Advice", title_align="left", border_style="blue")


def _for_staff(report: Report) -> Panel | None:
    """Free text that no machine judges, each under its question and cut to a few lines."""
    shown: list[Text] = []
    for problem in report.problems:
        for written in problem.for_staff:
            answer = " ".join(written.answer.split())
            if len(answer) > _ANSWER_LENGTH:
                answer = f"{answer[:_ANSWER_LENGTH]} ... ({len(written.answer)} characters; --json has them all)"
            shown += [Text(f"{problem.problem.id}  {written.question}", style="dim"), Text(f"  {answer}")]
    return Panel(Group(*shown), title="For staff to read", title_align="left", border_style="blue") if shown else None


def from_scratch_panel(report: Report) -> Panel | None:
    """Breaches of the from-scratch rule: what was used, where, and what that did to the points."""
    shown: list[Text] = []
    for problem in report.problems:
        for finding in problem.policy:
            line = Text(f"{problem.problem.id}  ", style="bold")
            line.append(
                f"{finding.rule} at {finding.where}", style="red" if finding.effect is Effect.ZERO else "yellow"
            )
            line.append(f"  ({words.EFFECT[finding.effect]})", style="dim")
            shown += [line, Text(f"  {finding.evidence}")]
    if not shown:
        return None
    return Panel(Group(*shown), title="From-scratch rule", title_align="left", border_style="red")


def _integrity(report: Report) -> Panel | None:
    """What the submission did that honest code has no reason for, for a person to look at."""
    if not report.suspicions:
        return None
    shown: list[Text] = []
    for suspicion in report.suspicions[:_SUSPICIONS_SHOWN]:
        line = Text(f"{suspicion.problem or 'while importing'}  ", style="bold")
        line.append(suspicion.title + (f" at {suspicion.where}" if suspicion.where else ""), style="red")
        shown += [line, Text(f"  {suspicion.evidence}")]
    if rest := len(report.suspicions) - _SUSPICIONS_SHOWN:
        shown += [Text(f"and {rest} more in the JSON report", style="dim")] if rest > 0 else []
    shown.append(Text(words.SUSPICIOUS, style="dim"))
    return Panel(Group(*shown), title="Integrity: suspicious", title_align="left", border_style="red")


def _summary(report: Report) -> Text:
    text = Text("\n")
    text.append(f"{report.earned:g} of {report.assessed:g} assessed points", style="bold")
    rest = report.total - report.assessed
    if rest:
        text.append(f"; {rest:g} more are not assessed here")
    for section, total in report.extensions.items():
        if section in report.unbegun:
            continue
        text.append(f"; {report.sections[section]}: {total.earned:g} of {total.assessed:g}")
    text.append(f". {report.environment['seconds']:.0f} s.")
    if report.seed is not None:
        text.append(f" Fresh inputs from seed {report.seed}; --seed {report.seed} repeats them.", style="dim")
    text.append(f"\nIsolation: {report.isolation['level']}.", style="dim")
    for sentence in report.isolation["missing"]:
        text.append(f" {sentence}", style="dim")
    for sentence in report.surroundings:
        text.append(f"\n{sentence}", style="dim")
    return text
