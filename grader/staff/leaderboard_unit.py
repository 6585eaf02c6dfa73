"""Measure one submission's weights, in a process of its own: `python -m grader.staff.leaderboard_unit`.

Its order is one line of JSON on standard input, as `unit.py`'s is. No code of the submission runs here, and nothing is
unpickled: files are read as data (`artifacts/run.py`), within bounds of size. Whatever they make of the libraries that
read them, this process has a bound of memory, can write nothing but the entry, and reaches no network, where the
system can enforce that (Linux: RLIMIT_DATA, Landlock).
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..artifacts.measurement import Reference
from ..artifacts.run import Run, runs_of
from ..errors import Refused
from ..escape import in_one_line
from ..submission.archive import ArchiveRefused, is_archive, unpacked
from ..submission.faults import Fault, NothingToAssess
from ..submission.files import Files
from ..submission.locate import locate
from ..worker import landlock
from ..worker.limits import limit_memory
from .leaderboard import CONTEXT_LENGTH, BoardEntry, BoardState, write_entry
from .leaderboard_order import BoardOrder, read_text
from .unit import ended_in_words, follow_whoever_asked

PROBLEM = "leaderboard"
_MEMORY_MIB = 8192
_PICKLES = (".pt", ".pth", ".bin", ".pkl", ".ckpt")
_NOTE = 500  # characters


def measure(source: Path, text: str) -> BoardEntry:
    """The entry of one submission; whatever its files hold comes out as a sentence."""
    try:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(unpacked(source)) if is_archive(source) else source
            files = Files(_root(folder))
            try:
                runs = runs_of(PROBLEM, files)
            except NothingToAssess:
                return BoardEntry(BoardState.NOTHING)
            except Fault as fault:
                return BoardEntry(BoardState.CLAIMED, run=f"runs/{PROBLEM}", note=_short(fault.message))
            run = min(runs, key=lambda one: (not one.has_weights, _or_infinite(_claimed(one)), one.folder))
            return _measured(run, text)
    except ArchiveRefused as error:
        return BoardEntry(BoardState.CLAIMED, note=_short(str(error)))


def _root(folder: Path) -> Path:
    """The folder that `runs` lies in: that of the code, where there is any."""
    try:
        return Path(locate(folder).root)
    except Refused:
        return folder


def _measured(run: Run, text: str) -> BoardEntry:
    entry = BoardEntry(BoardState.CLAIMED, run=run.folder, claimed=_claimed(run))
    if not run.has_weights:
        return replace(entry, note=_short(_without_weights(run)))
    try:
        loss = Reference().loss_on(run, text, CONTEXT_LENGTH)
    except Fault as fault:
        return replace(entry, note=_short(fault.message))
    return replace(
        entry,
        state=BoardState.MEASURED,
        loss=loss.per_token,
        bits_per_byte=loss.bits_per_byte,
        vocab_size=run.config.vocab_size,
        parameters=sum(weight.numel() for weight in run.weights.values()),
        note=_short("; ".join(_remarks(run))),
    )


def _claimed(run: Run) -> float | None:
    """The last validation loss of a run's metrics, if it is a number."""
    try:
        last = next((record.val_loss for record in reversed(run.records) if record.val_loss is not None), None)
    except Fault:
        return None
    return last if last is not None and math.isfinite(last) else None


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value


def _without_weights(run: Run) -> str:
    with contextlib.suppress(Fault):
        if other := [name for name in run.files.names(run.folder) if name.lower().endswith(_PICKLES)]:
            return f"{run.folder}/{other[0]} is a pickle, which is never opened; hand in model.safetensors"
    return f"there is no {run.folder}/model.safetensors"


def _remarks(run: Run) -> Iterator[str]:
    """Why the claim may be another number than what was measured."""
    if run.config.context_length != CONTEXT_LENGTH:
        yield f"trained and claimed at {run.config.context_length} tokens of context"
    if "lm_head.weight" not in run.weights:
        yield "tied embeddings"


def _short(text: str) -> str:
    return in_one_line(text, _NOTE)


def carry_out_order(order: BoardOrder) -> BoardEntry:
    """Measure, and write what comes of it.

    Raises:
        OSError: the text cannot be read, or the entry not be written.
    """
    start, target = time.monotonic(), Path(order.target)
    try:
        entry = measure(Path(order.source), read_text(Path(order.text), order.text_bytes))
    except (MemoryError, RuntimeError) as error:  # torch has no error of its own for memory
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        note = f"it takes more than {_MEMORY_MIB / 1024:g} GiB of memory, or than there is, to measure it"
        entry = BoardEntry(BoardState.CLAIMED, run=f"runs/{PROBLEM}", note=note)
    entry = replace(entry, asked=order.asked, seconds=round(time.monotonic() - start, 2))
    write_entry(entry, target)
    return entry


def main() -> int:
    """Returns 0 when the entry was written, whatever it is; the last line on standard error says why not."""
    from .. import streams

    streams.prepare()
    order = BoardOrder.from_json(sys.stdin.readline())

    def work() -> None:
        Path(order.target).mkdir(parents=True, exist_ok=True)
        _shut_in(order)
        follow_whoever_asked()
        carry_out_order(order)

    return ended_in_words(work, lambda error: f"{error.filename or order.target}: {error.strerror or error}.")


def _shut_in(order: BoardOrder) -> None:
    limit_memory(_MEMORY_MIB)
    if landlock.abi():
        landlock.confine(readable=["/"], writable=[order.target, tempfile.gettempdir()])


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # a thread still reads standard input, which Python would wait for
