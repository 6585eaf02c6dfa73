"""A progress bar while corpora arrive."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ..kit.corpora import Advance, Observer, human


class DownloadBar(Observer):
    """Shows the stage at work with its size, speed and remaining time; where that is no terminal, a line a stage."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> DownloadBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def stage(self, what: str, size: int, done: int = 0) -> Advance:
        for earlier in self._bar.task_ids:
            self._bar.remove_task(earlier)
        if not self._console.is_terminal:
            self._console.print(f"{what}, {human(size)} ...", highlight=False, soft_wrap=True)
        task = self._bar.add_task(what, total=size, completed=done)
        return lambda count: self._bar.advance(task, count)

    def note(self, sentence: str) -> None:
        self._console.print(sentence, highlight=False, soft_wrap=True)
