"""Draw how well tolerances separate honest code from known bugs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from rich.console import Console
from rich.progress import track
from rich.table import Table


class Row(Protocol):
    """What is shown of one case; see `grader.selftest.tolerances.Separation`."""

    @property
    def case(self) -> str: ...
    @property
    def honest(self) -> float: ...
    @property
    def allowed(self) -> float: ...
    @property
    def nearest(self) -> float: ...
    @property
    def nearest_id(self) -> str: ...
    @property
    def is_fair(self) -> bool: ...
    @property
    def is_wide(self) -> bool: ...


class MeasuredProblem(Protocol):
    """What is shown of one problem; see `grader.selftest.tolerances.Measurement`."""

    @property
    def problem(self) -> str: ...
    @property
    def separations(self) -> Sequence[Row]: ...
    @property
    def complaints(self) -> Sequence[str]: ...


def show_tolerances(problems: Iterable[MeasuredProblem], console: Console) -> int:
    """Print one line per case, and what has to be mended; gives the number of such complaints."""
    table = Table("case", "honest", "allowed", "nearest bug", "which", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for column in table.columns[:4]:
        column.no_wrap, column.min_width = True, len("0.0e-00")
    complaints: list[str] = []
    cases = near = 0
    for problem in track(problems, "measuring", console=console, transient=True, disable=not console.is_terminal):
        table.add_row(f"[bold]{problem.problem}[/bold]")
        complaints += problem.complaints
        for row in problem.separations:
            cases += 1
            near += not row.is_wide
            table.add_row(
                f"  {row.case}",
                f"{row.honest:.1e}",
                f"{row.allowed:.1e}",
                f"{row.nearest:.1e}" if row.nearest_id else "",
                row.nearest_id.removeprefix(f"{problem.problem}-"),
                style="red" if not row.is_fair else "yellow" if not row.is_wide else None,
            )
    console.print(table)
    console.print(f"{cases} cases; in {near}, some bug comes near, which another case makes up for.")
    for complaint in complaints:
        console.print(f"[red]to be mended:[/red] {complaint}", soft_wrap=True)
    return len(complaints)
