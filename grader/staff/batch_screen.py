"""What a batch says while it runs and when it ends."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..escape import in_one_line
from .batch import Watcher
from .grade_state import Grade, GradeState
from .grade_table import ClassRow

_REMEMBERED_S = 6 * 3600.0
"""How far back speed is looked at: a submission takes minutes, and rich would forget it after half of one."""
_SHOWN = 25
_WEAK = ("process", "none")


class BatchScreen(Watcher):
    """A bar with the time left in a terminal; elsewhere a line for each submission, as a log is read.

    unwritten: {id: what came of it} of the submissions of which no file could be written.
    """

    def __init__(self, console: Console) -> None:
        self.unwritten: dict[str, Grade] = {}
        self.count = self.total = 0
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description:40.40}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            speed_estimate_period=_REMEMBERED_S,
        )
        self._task = self._bar.add_task("grading", total=None)

    def __enter__(self) -> BatchScreen:
        if not self._bar.disable:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._bar.disable:
            with contextlib.suppress(OSError):
                self._bar.stop()

    def planned(self, total: int, done_before: int) -> None:
        self.total, self.count = total, done_before
        self._bar.update(self._task, total=total - done_before)
        if done_before:
            self.say(f"{done_before} of {total} that can be graded are done already; --force grades them again.")

    def finished(self, row: ClassRow) -> None:
        self.count += 1
        if row.grade.state is not GradeState.GRADED:
            self.unwritten[row.submission.id] = row.grade
        self._bar.update(self._task, advance=1, description=row.submission.id)
        if not self._console.is_terminal:
            self.say(f"[{self.count}/{self.total}] {row.submission.id}: {outcome(row)}")

    def say(self, text: str) -> None:
        """One line, above the bar where there is one."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def outcome(row: ClassRow) -> str:
    """What came of a submission, in one line."""
    grade = row.grade
    if grade.summary is None:
        return in_one_line(f"{grade.state}: {grade.message}", 300)
    score = grade.summary["score"]
    return f"{score['earned']:g} of {score['assessed']:g} assessed points, {grade.seconds:.0f} s"


def closing_lines(rows: Iterable[ClassRow]) -> Iterator[str]:
    """What is said at the end: how many of what, how they were shut in, and who needs a person, and why."""
    states: collections.Counter[GradeState] = collections.Counter()
    levels: collections.Counter[str] = collections.Counter()
    shown: list[str] = []
    count = 0
    for row in rows:
        states[row.grade.state] += 1
        if row.grade.summary:
            levels[row.grade.summary["level"]] += 1
        if row.looks:
            count += 1
            if len(shown) < _SHOWN:
                shown.append(f"  {row.submission.id}: {in_one_line('; '.join(row.looks), 300)}")
    total = sum(states.values())
    parts = ", ".join(f"{states[state]} {state}" for state in GradeState if states[state])
    yield f"{total} submission{'s' * (total != 1)}: {parts}."
    if levels:
        yield f"Isolation: {', '.join(f'{level} ({number})' for level, number in levels.most_common())}."
    for level in _WEAK:
        if levels[level]:
            yield f"At the level {level}, code can read the expected answers: README, Trust, says what helps."
    if shown:
        yield f"A person should look at {count}:"
        yield from shown
        if count > len(shown):
            yield f"  and {count - len(shown)} more: the column 'look at' of grades.csv has all of them."
