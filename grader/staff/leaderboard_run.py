"""The leaderboard of a class: every submission's weights measured, each in a process of its own, like its grade.

It is work of the same kind as a batch (`batch.py`), and resumable in the same way: what is known of a submission lies
in its folder of reports, and is taken from there as long as its files and the text are the same.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from ..errors import Failed, Refused
from ..report.output import write_whole
from .batch import PIECES_WAITING, REPORTS, pool_of, spread
from .collection import HandedIn
from .leaderboard import CONTEXT_LENGTH, BoardEntry, BoardState, board_csv, board_lines, read_entry, write_entry
from .leaderboard_order import Board, BoardOrder, board_order
from .leaderboard_page import render_board
from .manual_class import BlindCode
from .unit_process import Units, alone, run_unit

BOARD, BOARD_PAGE = "leaderboard.csv", "leaderboard.html"
BOARD_UNIT = (sys.executable, "-m", "grader.staff.leaderboard_unit")


@dataclass(frozen=True)
class BoardPiece:
    """The measuring of one submission, to be called, here or elsewhere. units: what starts the process."""

    id: str
    order: BoardOrder
    limit_s: float
    again: bool
    units: Units

    def __call__(self) -> tuple[str, BoardEntry]:
        return self.id, measure_one(self.order, self.limit_s, self.again, self.units)

    def lost(self, error: BaseException) -> tuple[str, BoardEntry]:
        """What is known when nobody says what came of it."""
        note = f"what was to measure it was lost: {type(error).__name__}: {error}"[:500]
        return self.id, BoardEntry(BoardState.FAILED, self.order.asked, note=note)


def measure_one(order: BoardOrder, limit_s: float, again: bool = False, units: Units | None = None) -> BoardEntry:
    """Measure one submission in a process of its own, unless that has been done; gives what is then known.

    Args:
        limit_s: seconds after which it is ended; again: measure it although that has been done.
    """
    target, units = Path(order.target), units or Units(BOARD_UNIT)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with alone(target, units) as lock:
            if lock is None:
                return BoardEntry(BoardState.FAILED, order.asked, note="the batch was ended before it was measured.")
            if not again and (known := _done(order)):
                return known
            ending = run_unit(order.as_json(), limit_s, units, lock)
            known = read_entry(target)
            if not ending.why and known and known.asked == order.asked:
                return known
            why = ending.why or "the process that measured it left no entry."
            entry = BoardEntry(BoardState.FAILED, order.asked, note=why, seconds=ending.seconds)
            with contextlib.suppress(OSError):  # the line says it all the same
                write_entry(entry, target)
            return entry
    except OSError as error:
        note = f"{error.filename or target} cannot be written: {error.strerror}."
        return BoardEntry(BoardState.FAILED, order.asked, note=note)


def _done(order: BoardOrder) -> BoardEntry | None:
    known = read_entry(Path(order.target))
    return known if known and known.asked == order.asked and known.is_final else None


def measure_class(
    submissions: Sequence[HandedIn],
    out: Path,
    board: Board,
    *,
    jobs: int,
    limit_s: float,
    again: bool = False,
    units: Units | None = None,
    cluster: Executor | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Measure what is not measured yet, `jobs` at a time; the arguments are those of `run_batch`.

    Args:
        say: is told of each submission as it is done.

    Raises:
        Refused: `out` cannot be made.
    """
    units = units or Units(BOARD_UNIT)
    try:
        (out / REPORTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"--out {out} cannot be made: {error.strerror}.") from error
    orders = {one.id: board_order(one, out, board) for one in submissions if one.source}
    todo = {id: order for id, order in orders.items() if again or _done(order) is None}
    if len(todo) < len(orders):
        say(f"{len(orders) - len(todo)} of {len(orders)} are measured already; --force measures them again.")
    work = (BoardPiece(id, order, limit_s, again, units) for id, order in todo.items())
    with pool_of(jobs, units) if cluster is None else contextlib.nullcontext(cluster) as pool:
        found = spread(pool, work, jobs * PIECES_WAITING, BoardPiece.lost)
        for number, (id, entry) in enumerate(found, start=1 + len(orders) - len(todo)):
            loss = "" if entry.loss is None else f"loss {entry.loss:.4f} "
            say(f"[{number}/{len(orders)}] {id}: {entry.state} {loss}{entry.says}".rstrip())


def write_board(submissions: Sequence[HandedIn], out: Path, board: Board) -> Iterator[str]:
    """Write `leaderboard.csv` and `leaderboard.html`; gives the lines to say at the end.

    Raises:
        Failed: one cannot be written.
    """
    alias = _alias(out) if board.anonymous else str
    there = ((one.id, read_entry(out / REPORTS / one.id)) for one in submissions if one.source)
    entries = [(id, entry or BoardEntry(BoardState.FAILED, note="it was not measured yet.")) for id, entry in there]
    lines = list(board_lines(entries, alias))
    page = render_board(lines, board.text.name, board.text_bytes, board.anonymous)
    for name, text in ((BOARD, board_csv(lines, board.anonymous)), (BOARD_PAGE, page)):
        try:
            write_whole(out / name, text)
        except OSError as error:
            raise Failed(f"{out / name} cannot be written: {error.strerror}.") from error
    measured = sum(line.rank is not None for line in lines)
    yield (
        f"The leaderboard: {out / BOARD_PAGE}, {out / BOARD}. {measured} of {len(lines)} runs were measured, at "
        f"{CONTEXT_LENGTH} tokens of context."
    )


def _alias(out: Path) -> Callable[[str], str]:
    """Other codes than those of blind grading, which whoever grades must not be able to tell from a public page."""
    code = BlindCode(out)
    return lambda id: code(f"{BOARD} {id}")
