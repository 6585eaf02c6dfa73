"""A progress bar while tests run."""

from __future__ import annotations

import contextlib

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Columns

from ..scoring.outcome import Outcome
from ..scoring.progress import Progress


class ProgressBar(Progress):
    """Shows the test that runs and how many are done; quiet where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self._bar = Columns(
            TextColumn("{task.description:44.44}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("loading the submission", total=None)
        self._total = 0

    def __enter__(self) -> ProgressBar:
        if not self._bar.disable:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._bar.disable:  # one that never began would print an empty line all the same
            with contextlib.suppress(OSError):  # a terminal that has gone away takes no report with it
                self._bar.stop()

    def planned(self, tests: int) -> None:
        self._total += tests
        self._bar.update(self._task, total=self._total)

    def started(self, test_id: str) -> None:
        self._bar.update(self._task, description=test_id.removeprefix("test_"))

    def finished(self, outcome: Outcome) -> None:
        self._bar.advance(self._task)
