"""The report on a terminal: a table of problems with their points, then what to look at first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..outcome import Result
from ..scoring import Status
from .model import ProblemReport, Report, TestReport

_STATUS = {
    Status.PASS: ("✓ pass", "green"),
    Status.PARTIAL: ("◐ partial", "yellow"),
    Status.FAIL: ("✗ fail", "red"),
    Status.TODO: ("○ todo", "cyan"),
    Status.NOT_PROVIDED: ("– not provided", "dim"),
    Status.NOT_ASSESSED: ("· not assessed", "dim"),
    Status.ERROR: ("! error", "red"),
}
_RESULT = {
    Result.FAIL: "failed",
    Result.ERROR: "raised an error",
    Result.TIMEOUT: "took too long",
    Result.CRASH: "ended the process",
    Result.TODO: "is not written yet",
    Result.SKIP: "is not provided",
}
_SHOWN_PER_PROBLEM = 3
_DETAIL_LINES = 8


def show(report: Report, console: Console) -> None:
    """Print the whole report."""
    console.print(_problem_table(report))
    if report.load_fault:
        console.print(
            Panel(escape(report.load_fault), title="Nothing could run", border_style="red", title_align="left")
        )
    else:
        for problem in report.problems:
            if panel := _failures(problem):
                console.print(panel)
    console.print(_summary(report))


def _problem_table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Problem", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("Points", justify="right", no_wrap=True)
    table.add_column("Tests", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for section, members in groupby(report.problems, key=lambda p: p.problem.section):
        table.add_row(Text(report.sections[section], style="bold"))
        for problem in members:
            word, style = _STATUS[problem.score.status]
            table.add_row(
                f"  {problem.problem.id}",
                Text(word, style=style),
                _points(problem),
                _passed(problem),
                Text(_remark(problem), style="dim"),
            )
    return table


def _points(problem: ProblemReport) -> str:
    if problem.score.status is Status.NOT_ASSESSED:
        return f"– / {problem.problem.points:g}"
    return f"{problem.score.earned:g} / {problem.problem.points:g}"


def _passed(problem: ProblemReport) -> str:
    if not problem.tests:
        return ""
    passed = sum(test.outcome.result is Result.PASS for test in problem.tests)
    return f"{passed}/{len(problem.tests)}"


def _remark(problem: ProblemReport) -> str:
    if problem.note:
        return problem.note
    if any(test.carried for test in problem.tests):
        return f"carried forward from {', '.join(problem.blocked_by)}"
    if problem.blocked_by:
        return f"first fix {', '.join(problem.blocked_by)}"
    return ""


def _failures(problem: ProblemReport) -> Panel | None:
    """What went wrong in a problem, the most telling claims first."""
    failing = _one_per_claim(t for t in problem.tests if t.outcome.result is not Result.PASS and not t.carried)
    if problem.score.status not in (Status.FAIL, Status.PARTIAL, Status.ERROR) or not failing:
        return None
    shown: list[RenderableType] = []
    for test in failing[:_SHOWN_PER_PROBLEM]:
        shown += [*_describe(test), Text()]
    if len(failing) > _SHOWN_PER_PROBLEM:
        shown += [Text(f"and {len(failing) - _SHOWN_PER_PROBLEM} more", style="dim"), Text()]
    shown.append(Text(f"see it for yourself: uv run pytest tests/{failing[0].plan.id.split('[')[0]}", style="dim"))
    title = f"{problem.problem.id}: {problem.score.earned:g} of {problem.problem.points:g} points"
    return Panel(Group(*shown), title=title, title_align="left", border_style="yellow")


def _one_per_claim(tests: Iterable[TestReport]) -> list[TestReport]:
    """The first failing case of each claim, core claims first."""
    first: dict[str, TestReport] = {}
    for test in tests:
        first.setdefault(test.plan.claim, test)
    return sorted(first.values(), key=lambda test: test.plan.edge)


def _describe(test: TestReport) -> Iterator[Text]:
    heading = Text(test.plan.title, style="bold")
    if test.plan.edge:
        heading.append("  (edge)", style="dim")
    yield heading
    name = test.plan.id.partition("::")[2]
    yield Text(f"{name} {_RESULT[test.outcome.result]}", style="red")
    if test.bug:
        yield Text(f"  {test.bug.diagnosis}", style="bold yellow")
        yield Text(f"  {test.bug.hint}", style="yellow")
    for line in test.outcome.message.splitlines():
        yield Text(f"  {line}")
    detail = test.outcome.detail.splitlines()
    for line in detail[-_DETAIL_LINES:]:
        yield Text(f"  {line}", style="dim")


def _summary(report: Report) -> Text:
    text = Text("\n")
    text.append(f"{report.earned:g} of {report.assessed:g} assessed points", style="bold")
    rest = report.total - report.assessed
    if rest:
        text.append(f"; {rest:g} more are not assessed here")
    text.append(".")
    if report.seed is not None:
        text.append(f" Fresh inputs from seed {report.seed}; --seed {report.seed} repeats them.", style="dim")
    text.append(f"\nIsolation: {report.isolation['level']}.", style="dim")
    for sentence in report.isolation["missing"]:
        text.append(f" {sentence}", style="dim")
    return text
