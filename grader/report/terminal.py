"""The report on a terminal: a table of problems with their points, then what to look at first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..outcome import Result
from ..policy import Effect
from ..rubric import Kind
from ..scoring import Status
from .model import ProblemReport, Report, TestReport
from .speed import speed_panel

_STATUS = {
    Status.PASS: ("✓ pass", "green"),
    Status.PARTIAL: ("◐ partial", "yellow"),
    Status.FAIL: ("✗ fail", "red"),
    Status.TODO: ("○ todo", "cyan"),
    Status.NOT_PROVIDED: ("– not provided", "dim"),
    Status.ERROR: ("! error", "red"),
}
_RESULT = {
    Result.FAIL: "failed",
    Result.ERROR: "raised an error",
    Result.TIMEOUT: "took too long",
    Result.CRASH: "ended the process",
    Result.TODO: "is not written yet",
    Result.SKIP: "is not provided",
    Result.ABSENT: "has nothing to look at",
}
_EFFECT = {
    Effect.ZERO: "the problem's points are withheld",
    Effect.CARRIED: "costs nothing here",
    Effect.WARN: "costs no points",
}
_SHOWN_PER_PROBLEM = 3
_NO_MODULE = re.compile(r"No module named '([^']+)'")
_DETAIL_LINES = 8
_SUSPICIONS_SHOWN = 8
_ANSWER_LENGTH = 160


def show(report: Report, console: Console) -> None:
    """Print the whole report."""
    console.print(_problem_table(report))
    console.print(_not_assessed(report))
    if report.load_fault:
        console.print(
            Panel(escape(report.load_fault), title="Nothing could run", border_style="red", title_align="left")
        )
    elif panel := _missing_packages(report):
        console.print(panel)
    for problem in report.problems:
        if not (report.load_fault and problem.score.status is Status.ERROR) and (panel := _failures(problem)):
            console.print(panel)
    if panel := speed_panel(report.speed):
        console.print(panel)
    if panel := _for_staff(report):
        console.print(panel)
    if panel := _policy(report):
        console.print(panel)
    if panel := _integrity(report):
        console.print(panel)
    console.print(_summary(report))


def _problem_table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Problem", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("Points", justify="right", no_wrap=True)
    table.add_column("Tests", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    assessed = [problem for problem in report.problems if problem.score.status is not Status.NOT_ASSESSED]
    for section, members in groupby(assessed, key=lambda p: p.problem.section):
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


def _not_assessed(report: Report) -> Text:
    """One line per reason, with the problems that it keeps out of the total."""
    text = Text(style="dim")
    left_out = [problem for problem in report.problems if problem.score.status is Status.NOT_ASSESSED]
    for reason in dict.fromkeys(problem.note for problem in left_out):
        names = ", ".join(problem.problem.id for problem in left_out if problem.note == reason)
        text.append(f"\nNot assessed, {reason}: {names}")
    return text


def _points(problem: ProblemReport) -> str:
    if problem.score.unassessed:
        possible = problem.problem.points - problem.score.unassessed
        return f"{problem.score.earned:g} / {possible:g} of {problem.problem.points:g}"
    return f"{problem.score.earned:g} / {problem.problem.points:g}"


def _passed(problem: ProblemReport) -> str:
    if problem.races:
        return f"{len(problem.races)} race{'s' * (len(problem.races) > 1)}"
    if not problem.tests:
        return ""
    charged = [test for test in problem.tests if test.charged and test.outcome.result is not Result.ABSENT]
    passed = sum(test.outcome.result is Result.PASS for test in charged)
    return f"{passed}/{len(charged)}"


def _remark(problem: ProblemReport) -> str:
    if problem.is_withheld:
        return "points withheld: from-scratch rule"
    if any(test.carried for test in problem.tests):
        return f"carried forward from {', '.join(problem.blocked_by)}"
    if problem.blocked_by:
        return f"first fix {', '.join(problem.blocked_by)}"
    return f"in part: {problem.note}" if problem.note else ""


def _missing_package(test: TestReport) -> str | None:
    """The package whose absence made a test fail, if that is why."""
    found = _NO_MODULE.search(test.outcome.message) if test.outcome.result is Result.ERROR else None
    return found[1] if found else None


def _missing_packages(report: Report) -> Panel | None:
    """Each package that is not installed here, once, with the problems that need it."""
    needed_by: dict[str, dict[str, None]] = {}
    for problem in report.problems:
        for test in problem.tests:
            if package := _missing_package(test):
                needed_by.setdefault(package, {})[problem.problem.id] = None
    if not needed_by:
        return None
    lines = [f"{package}: needed by {', '.join(problems)}" for package, problems in needed_by.items()]
    advice = "Install them beside the grader, or import them only where the tests do not need them."
    return Panel(
        Text("\n".join([*lines, "", advice])), title="Not installed here", title_align="left", border_style="red"
    )


def _failures(problem: ProblemReport) -> Panel | None:
    """What went wrong in a problem: known bugs first, each once, then what no known bug explains."""
    failing = [test for test in problem.failing if not _missing_package(test)]
    by_hand = problem.problem.kind is Kind.MANUAL
    if not failing or not (by_hand or problem.score.status in (Status.FAIL, Status.PARTIAL, Status.ERROR)):
        return None
    shown: list[RenderableType] = []
    by_bug = {test.bug.id: test.bug for test in failing if test.bug}
    for bug in by_bug.values():
        its = [test for test in failing if test.bug and test.bug.id == bug.id]
        shown += [Text(bug.diagnosis, style="bold yellow"), Text(bug.hint, style="yellow")]
        shown += [*_describe(its[0]), Text()]
        if len(its) > 1:
            shown += [Text(f"The same shows in {', '.join(_name(test) for test in its[1:])}.", style="dim"), Text()]
    unexplained = [test for test in failing if not test.bug]
    for test in unexplained[:_SHOWN_PER_PROBLEM]:
        shown += [*_describe(test), Text()]
    if len(unexplained) > _SHOWN_PER_PROBLEM:
        shown += [Text(f"and {len(unexplained) - _SHOWN_PER_PROBLEM} more", style="dim"), Text()]
    shown.append(Text(f"see it for yourself: uv run pytest tests/{failing[0].plan.id.split('[')[0]}", style="dim"))
    points = f"{problem.score.earned:g} of {problem.problem.points:g} points"
    title = f"{problem.problem.id}: {'for the person who grades it' if by_hand else points}"
    return Panel(Group(*shown), title=title, title_align="left", border_style="yellow")


def _name(test: TestReport) -> str:
    """`test_matches_reference[batch]`."""
    return test.plan.id.partition("::")[2]


def _describe(test: TestReport) -> Iterator[Text]:
    heading = Text(test.plan.title, style="bold")
    if test.plan.edge:
        heading.append("  (edge)", style="dim")
    yield heading
    yield Text(f"{_name(test)} {_RESULT[test.outcome.result]}", style="red")
    for line in test.outcome.message.splitlines():
        yield Text(f"  {line}")
    detail = test.outcome.detail.splitlines()
    for line in detail[-_DETAIL_LINES:]:
        yield Text(f"  {line}", style="dim")


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


def _policy(report: Report) -> Panel | None:
    """Breaches of the from-scratch rule: what was used, where, and what that did to the points."""
    shown: list[Text] = []
    for problem in report.problems:
        for finding in problem.policy:
            line = Text(f"{problem.problem.id}  ", style="bold")
            line.append(
                f"{finding.rule} at {finding.where}", style="red" if finding.effect is Effect.ZERO else "yellow"
            )
            line.append(f"  ({_EFFECT[finding.effect]})", style="dim")
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
    shown.append(Text("This costs no points by itself: a person should look at it.", style="dim"))
    return Panel(Group(*shown), title="Integrity: suspicious", title_align="left", border_style="red")


def _summary(report: Report) -> Text:
    text = Text("\n")
    text.append(f"{report.earned:g} of {report.assessed:g} assessed points", style="bold")
    rest = report.total - report.assessed
    if rest:
        text.append(f"; {rest:g} more are not assessed here")
    for section, total in report.extensions.items():
        text.append(f"; {report.sections[section]}: {total.earned:g} of {total.assessed:g}")
    text.append(f". {report.environment['seconds']:.0f} s.")
    if report.seed is not None:
        text.append(f" Fresh inputs from seed {report.seed}; --seed {report.seed} repeats them.", style="dim")
    text.append(f"\nIsolation: {report.isolation['level']}.", style="dim")
    for sentence in report.isolation["missing"]:
        text.append(f" {sentence}", style="dim")
    return text
