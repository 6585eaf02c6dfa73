"""Draw how well tolerances separate honest code from known bugs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from rich.console import Console
from rich.progress import track
from rich.table import Table


class Row(Protocol):
    """What is shown of one case; see `grader.selftest.tolerances.Separation`."""

    @property
    def problem(self) -> str: ...
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
    def is_wide(self) -> bool: ...


def show_tolerances(rows: Iterable[Row], console: Console) -> None:
    """Print one line per case, and count those where there is too little room."""
    table = Table("case", "honest", "allowed", "nearest bug", "which", box=None, pad_edge=False)
    for column in (1, 2, 3):
        table.columns[column].justify = "right"
    table.columns[0].no_wrap = True
    cases = narrow = 0
    problem = ""
    for row in track(rows, "measuring", console=console, transient=True, disable=not console.is_terminal):
        if row.problem != problem:
            problem = row.problem
            table.add_row(f"[bold]{problem}[/bold]")
        cases += 1
        narrow += not row.is_wide
        table.add_row(
            f"  {row.case}",
            f"{row.honest:.1e}",
            f"{row.allowed:.1e}",
            f"{row.nearest:.1e}" if row.nearest_id else "",
            row.nearest_id.removeprefix(f"{row.problem}-"),
            style=None if row.is_wide else "red",
        )
    console.print(table)
    console.print(f"{narrow} of {cases} cases leave less than a factor of 2 on one side.")
