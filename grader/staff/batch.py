"""Grade a class: every submission of a folder, side by side, each in a process of its own.

A submission is one piece of work, done at any time, anywhere, as often as one likes (`unit_process.carry_out`). So a
batch is a loop over pieces of work, whatever runs them; what was done stays done, and the same command goes on where an
earlier one ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..errors import Failed, Refused
from ..report.output import write_whole
from ..scoring.rubric import RUBRIC_FILE, Rubric
from .collection import HandedIn
from .grade_state import Grade, GradeState, read_grade
from .grade_table import ClassRow, class_csv
from .unit import Options, Order
from .unit_process import Units, carry_out, done

_T = TypeVar("_T")
_P = TypeVar("_P", bound=Callable[[], Any])

REPORTS, GRADES = "reports", "grades.csv"
PIECES_WAITING = 2
"""So many pieces of work for each that is done at a time are handed over: more would only take memory."""
_MOST_FILES = 20_000


class Watcher:
    """Who wants to know how far a batch is; every method may be overridden, none has to be."""

    def planned(self, total: int, done_before: int) -> None:
        """So many submissions can be graded, of which so many are already."""

    def finished(self, row: ClassRow) -> None:
        """One more is done."""


def run_batch(
    submissions: Sequence[HandedIn],
    out: Path,
    options: Options,
    *,
    jobs: int,
    limit_s: float,
    again: bool = False,
    watcher: Watcher | None = None,
    units: Units | None = None,
    cluster: Executor | None = None,
) -> None:
    """Grade what is not graded yet, `jobs` at a time, and leave each report in `out`.

    Args:
        again: grade all of them anew.
        limit_s: seconds that one submission may take.
        cluster: what carries the work out, on machines that see the same folders; without it, threads of this process.

    Raises:
        Refused: `out` cannot be made.
    """
    watcher, units = watcher or Watcher(), units or Units()
    try:
        (out / REPORTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"--out {out} cannot be made: {error.strerror}.") from error
    orders = {one.id: order_for(one, out, options) for one in submissions if one.source}
    todo = [one for one in submissions if one.id in orders and (again or done(orders[one.id]) is None)]
    watcher.planned(len(orders), len(orders) - len(todo))
    work = (Piece(one, orders[one.id], limit_s, again, units) for one in todo)
    with pool_of(jobs, units) if cluster is None else contextlib.nullcontext(cluster) as pool:
        for submission, grade in spread(pool, work, jobs * PIECES_WAITING, Piece.lost):
            watcher.finished(ClassRow(submission, grade))


@contextlib.contextmanager
def pool_of(jobs: int, units: Units) -> Iterator[Executor]:
    """Threads that wait for units; when the block ends, however it does, so do the units."""
    pool = ThreadPoolExecutor(jobs)
    try:
        yield pool
    finally:
        units.stop()
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Piece:
    """One piece of work, to be called, here or elsewhere. units: what starts the process."""

    submission: HandedIn
    order: Order
    limit_s: float
    again: bool
    units: Units

    def __call__(self) -> tuple[HandedIn, Grade]:
        return self.submission, carry_out(self.order, self.limit_s, self.again, self.units)

    def lost(self, error: BaseException) -> tuple[HandedIn, Grade]:
        """What is known when nobody says what came of it, as when the machine that had it went away too often."""
        return self.submission, Grade(
            GradeState.FAILED, f"what was to grade it was lost: {type(error).__name__}: {error}"[:500], self.order.asked
        )


def spread(pool: Executor, work: Iterable[_P], most: int, lost: Callable[[_P, BaseException], _T]) -> Iterator[_T]:
    """What pieces of work give, in the order in which they end; at most so many wait with the executor at a time.

    Args:
        lost: what a piece gives that raised an error.
    """
    pending: dict[Future[_T], _P] = {}

    def first_to_end() -> Iterator[_T]:
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            piece = pending.pop(future)
            error = future.exception()
            yield future.result() if error is None else lost(piece, error)

    for piece in work:
        pending[pool.submit(piece)] = piece
        if len(pending) >= most:
            yield from first_to_end()
    while pending:
        yield from first_to_end()


def order_for(submission: HandedIn, out: Path, options: Options) -> Order:
    """What the unit is told of one submission."""
    assert submission.source is not None
    source = os.path.abspath(submission.source)
    target = os.path.abspath(out / REPORTS / submission.id)
    return Order(submission.id, source, target, digest(Path(source), options), options)


def digest(source: Path, options: Options) -> str:
    """What tells whether a grade is of the same files, asked for in the same way, by the same rubric."""
    files = [RUBRIC_FILE, *([Path(options.course)] if options.course else [])]
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return stamped(source, json.dumps([asdict(options), digests], sort_keys=True))


def stamped(source: Path, asked: str) -> str:
    """A digest of what is asked of a submission, and of names, sizes and times of its files."""
    found = hashlib.sha256(asked.encode())
    for line in _stamps(source):
        found.update(line)
    return found.hexdigest()


def _stamps(source: Path) -> Iterator[bytes]:
    """Names, sizes and times of a submission's files, without version control and caches."""
    if source.is_file():
        yield _stamp(source, source)
        return
    count = 0
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(name for name in folders if name not in (".git", ".venv", "__pycache__"))
        for name in sorted(files):
            yield _stamp(Path(folder, name), source)
            count += 1
            if count == _MOST_FILES:
                return


def _stamp(path: Path, source: Path) -> bytes:
    try:
        found = path.lstat()
        return os.fsencode(f"{path.relative_to(source)}\0{found.st_size}\0{found.st_mtime_ns}\0")
    except OSError:
        return os.fsencode(path)


def rows_of(submissions: Iterable[HandedIn], out: Path, failed: Mapping[str, Grade]) -> Iterator[ClassRow]:
    """What is known of each submission now, one at a time, from the files that were left.

    Args:
        failed: {id: what came of it} of those that could not even leave a file.
    """
    for one in submissions:
        if one.source is None:
            yield ClassRow(one, Grade(GradeState.MISSING if one.is_missing else GradeState.REFUSED, one.fault))
            continue
        grade = read_grade(out / REPORTS / one.id) or failed.get(one.id)
        yield ClassRow(one, grade or Grade(GradeState.FAILED, "it was not graded yet."))


def write_grades(rows: Iterable[ClassRow], rubric: Rubric, options: Options, out: Path) -> None:
    """Write `grades.csv`.

    Raises:
        Failed: it cannot be written.
    """
    problems = [problem.id for problem in rubric.select(options.problems, options.section)]
    try:
        write_whole(out / GRADES, class_csv(rows, problems))
    except OSError as error:
        raise Failed(f"{out / GRADES} cannot be written: {error.strerror}. The reports are there.") from error
