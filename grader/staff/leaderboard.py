"""Who has the lowest loss: what was measured of each submission's weights, ranked, and as a table.

`OUT/reports/<id>/leaderboard.json` holds what is known of one. Ranks go by bits per byte of the text, which can be
compared whatever the vocabulary; where all have the same one, loss per token has the same order. Pure, but for reading
and writing that file.
"""

from __future__ import annotations

import csv
import enum
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..report.formats.spreadsheet import cell
from ..report.output import write_json

ENTRY = "leaderboard.json"
CONTEXT_LENGTH = 512
"""Tokens of context at which every model is measured, whatever it was trained with."""
_VERSION = 1
_SAME = 1e-9
_FAR = 0.1
"""Nats per token between a claim and what its weights have, from which on a person should ask why."""


class BoardState(enum.StrEnum):
    """What came of a submission's weights."""

    MEASURED = "measured"
    CLAIMED = "claimed"
    """Something was handed in, but cannot be measured in the reference model: there is only what its author says."""
    NOTHING = "nothing"
    """There is no run for the leaderboard."""
    FAILED = "failed"
    """The measuring came to nothing, for lack of time, memory or a disk: the next batch tries again."""


@dataclass(frozen=True)
class BoardEntry:
    """What is known of one submission's run.

    asked: of which files and text, as a digest; run: its folder; loss: nats per token, as `claimed`, which is the last
    val_loss of its metrics; parameters: how many numbers the file of weights holds; note: what a person should know.
    """

    state: BoardState
    asked: str = ""
    run: str = ""
    loss: float | None = None
    bits_per_byte: float | None = None
    claimed: float | None = None
    vocab_size: int | None = None
    parameters: int | None = None
    note: str = ""
    seconds: float = 0.0

    @property
    def is_final(self) -> bool:
        """Whether another try would find the same."""
        return self.state is not BoardState.FAILED

    @property
    def difference(self) -> float | None:
        """How much higher the loss is than claimed, in nats per token."""
        return None if self.loss is None or self.claimed is None else self.loss - self.claimed

    @property
    def says(self) -> str:
        """The note, and what a person should ask."""
        far = self.difference is not None and abs(self.difference) > _FAR
        asks = "far from the claim: another text, another architecture, or another context" if far else ""
        only = "claimed, not recomputed" if self.state is BoardState.CLAIMED else ""
        return ": ".join(filter(None, (only, "; ".join(filter(None, (self.note, asks))))))


@dataclass(frozen=True)
class BoardLine:
    """One line of the board. rank: None where nothing was measured; shown: the id, or what stands in its place."""

    rank: int | None
    id: str
    shown: str
    entry: BoardEntry


def read_entry(folder: Path) -> BoardEntry | None:
    """What is known of the submission whose reports lie in a folder; None where nothing is."""
    try:
        table = json.loads((folder / ENTRY).read_text("utf-8"))
        if table.pop("version") != _VERSION:
            return None
        return BoardEntry(**{**table, "state": BoardState(table["state"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def write_entry(entry: BoardEntry, folder: Path) -> None:
    """Write it as a whole.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    write_json({"version": _VERSION, **asdict(entry)}, folder / ENTRY)


def board_lines(entries: Iterable[tuple[str, BoardEntry]], alias: Callable[[str], str] = str) -> Iterator[BoardLine]:
    """(submission, entry) as lines of the board: the lowest first, then what was not measured, by claim.

    Equal losses share a rank, and the next one counts them. Who handed in no run is not there.
    """
    there = [(id, entry) for id, entry in entries if entry.state is not BoardState.NOTHING]
    there.sort(key=lambda one: (*_place(one[1]), one[0]))
    rank, before = 0, -1.0
    for place, (id, entry) in enumerate(there, start=1):
        if entry.bits_per_byte is None:
            yield BoardLine(None, id, alias(id), entry)
            continue
        if entry.bits_per_byte > before + _SAME:
            rank, before = place, entry.bits_per_byte
        yield BoardLine(rank, id, alias(id), entry)


def _place(entry: BoardEntry) -> tuple[bool, float]:
    """What is measured comes before all else."""
    number = entry.claimed if entry.bits_per_byte is None else entry.bits_per_byte
    return entry.bits_per_byte is None, math.inf if number is None else number


def board_csv(lines: Iterable[BoardLine], anonymous: bool) -> str:
    """The board as a table for staff: ids, and beside them what the page calls them."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    alias = ["alias"] if anonymous else []
    writer.writerow(["rank", "id", *alias, *_COLUMNS])
    for line in lines:
        it = line.entry
        numbers = (it.loss, it.bits_per_byte, it.claimed, it.difference)
        rounded = [None if number is None else round(number, 5) for number in numbers]
        shown = [line.shown] if anonymous else []
        cells = (line.rank, line.id, *shown, *rounded, it.vocab_size, it.parameters, str(it.state), it.says, it.run)
        writer.writerow([cell(value) for value in cells])
    return out.getvalue()


_COLUMNS = (
    "loss", "bits_per_byte", "claimed", "difference", "vocab_size", "parameters", "state", "note", "run",
)  # fmt: skip
