"""A batch as it is typed: who is in the class, what is graded, what is written and said at the end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

from rich.console import Console

from ..errors import Failed, Refused
from ..escape import in_one_line
from ..report.output import write_whole
from ..scoring.rubric import Rubric, did_you_mean
from ..submission.archive import is_archive
from .batch import GRADES, REPORTS, rows_of, run_batch, write_grades
from .batch_screen import BatchScreen, closing_lines
from .class_archive import unpacked_class
from .class_page import render_class
from .class_statistics import statistics_of
from .collection import HandedIn, collect
from .grade_state import claim_titles
from .grade_table import ClassRow
from .leaderboard_order import Board
from .leaderboard_run import BOARD_PAGE, BOARD_UNIT, measure_class, write_board
from .roster import Roster, read_roster
from .unit import Options
from .unit_process import Units

CLASS_PAGE, SIMILARITY_PAGE = "index.html", "similarity.html"
_PAGES = {BOARD_PAGE: "The leaderboard", SIMILARITY_PAGE: "Which submissions are alike"}


def default_jobs() -> int:
    """One submission for each CPU that this process may use: its grade keeps one busy."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


class ClassRun:
    """One batch, or the k-th of n parts of one (`part`). What was asked for is checked here, before anything is graded.

    Raises:
        Refused: there is nothing to grade, or the roster, a folder or an id makes no sense.
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        options: Options,
        rubric: Rubric,
        *,
        roster: Path | None = None,
        only: Sequence[str] = (),
        part: tuple[int, int] = (1, 1),
        console: Console | None = None,
        units: Units | None = None,
    ) -> None:
        if os.path.realpath(folder) == os.path.realpath(out):
            raise Refused(f"--out {out} is the folder with the submissions; name another one.")
        who: Roster | None = read_roster(roster) if roster else None
        self._name = in_one_line(folder.resolve().name, 80)
        refused: Mapping[str, str] = {}
        if is_archive(folder):
            unpacked = unpacked_class(folder, out)
            folder, refused = unpacked.folder, unpacked.refused
        self.submissions: list[HandedIn] = collect(folder, who, [out, *([roster] if roster else [])], refused)
        self._chosen = [one for one in self.submissions if not only or one.id in only][part[0] - 1 :: part[1]]
        known = [one.id for one in self.submissions]
        for name in only:
            if name not in known:
                raise Refused(f"--only {name}: no submission is called so.{did_you_mean(name, known)}")
        self._out, self._options, self._rubric, self._units = out, options, rubric, units
        self._screen = BatchScreen(console or Console())

    def grade(self, *, jobs: int, limit_s: float, again: bool = False, scheduler: str | None = None) -> None:
        """Grade what is not graded yet.

        Args:
            scheduler: the address of a Dask cluster that does it, `jobs` or as many at a time as it has threads.

        Raises:
            Refused: there is no such cluster, or no Dask here.
        """
        with self._workers(jobs, scheduler, bool(self._options.gpu)) as (cluster, jobs), self._screen:
            run_batch(
                self._chosen, self._out, self._options, jobs=jobs, limit_s=limit_s, again=again, watcher=self._screen,
                units=self._units, cluster=cluster,
            )  # fmt: skip

    def measure(
        self,
        board: Board,
        *,
        jobs: int,
        limit_s: float,
        again: bool = False,
        scheduler: str | None = None,
        unit: Sequence[str] = BOARD_UNIT,
    ) -> None:
        """Measure the weights that are not measured yet, for the leaderboard.

        Args: as for `grade`; unit: the program that measures one submission.

        Raises:
            Refused: as `grade`.
        """
        with self._workers(jobs, scheduler, False) as (cluster, jobs):
            measure_class(
                self._chosen, self._out, board, jobs=jobs, limit_s=limit_s, again=again, units=Units(unit),
                cluster=cluster, say=self._screen.say,
            )  # fmt: skip

    @contextlib.contextmanager
    def _workers(self, jobs: int, scheduler: str | None, gpu: bool) -> Iterator[tuple[Executor | None, int]]:
        """(the cluster or None, how many pieces of work are done at a time)."""
        if scheduler is None:
            yield None, jobs
            return
        from .cluster import connected

        with connected(scheduler, gpu) as (cluster, threads):
            yield cluster, max(1, threads)

    @property
    def progress(self) -> str:
        """How far it is."""
        return f"{self._screen.count} of {self._screen.total} submissions are done"

    def rows(self) -> Iterator[ClassRow]:
        """What is known of each submission, one at a time."""
        return rows_of(self.submissions, self._out, self._screen.unwritten)

    def part_lines(self) -> Iterator[str]:
        """What came of a part: tables and pages are written when all of it is done."""
        yield from closing_lines(rows_of(self._chosen, self._out, self._screen.unwritten))

    def compare(self, jobs: int) -> None:
        """Write the page that shows which submissions are alike.

        Raises:
            Failed: it cannot be written.
        """
        from .similarity_page import similarity_page

        self._write(similarity_page(self.submissions, self._out / REPORTS, jobs), SIMILARITY_PAGE)

    def close(self, board: Board | None = None) -> Iterator[str]:
        """Write the tables, and the leaderboard if it was asked for; gives the lines to say at the end.

        Raises:
            Failed: a table cannot be written.
        """
        write_grades(self.rows(), self._rubric, self._options, self._out)
        said = list(write_board(self.submissions, self._out, board)) if board else []
        pages = {name: shows for name, shows in _PAGES.items() if (self._out / name).is_file()}
        statistics = statistics_of(self.rows())
        self._write(render_class(statistics, claim_titles(self._out), self._name, pages), CLASS_PAGE)
        yield from closing_lines(self.rows())
        yield from said
        yield f"The class: {self._out / CLASS_PAGE}. Grades: {self._out / GRADES}. Reports: {self._out / REPORTS}."

    def _write(self, page: str, name: str) -> None:
        try:
            write_whole(self._out / name, page)
        except OSError as error:
            raise Failed(f"{self._out / name} cannot be written: {error.strerror}.") from error
