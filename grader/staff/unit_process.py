"""One submission's grade as a piece of work: starts the unit, waits for it, and says what came of it, whatever did.

`carry_out` may be called in any thread of any machine that sees the same folders. It holds a lock for the
submission, so that of several batches that share a folder only one grades it. The unit has the lock, too: nothing is
graded twice at a time, also where a batch was killed and its units are still ending.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..kit.paths import KIT
from ..wall.scratch import Scratch
from .grade_state import Grade, GradeState, forget, read_grade, write_grade
from .unit import Order

LOCKS = ".locks"
_TO_CLEAN_UP_S = 20.0
_POLL_S = 0.2
_SAID = 500  # characters of what a unit said last
ENDED = "the batch was ended before it was graded."

UNIT = (sys.executable, "-m", "grader.staff.unit")


class Units:
    """The units that run for one batch in this process, so that they can be ended together."""

    def __init__(self, command: Sequence[str] = UNIT) -> None:
        self._command = tuple(command)
        self._running: set[subprocess.Popen[str]] = set()
        self._changing = threading.Lock()
        self.ending = threading.Event()

    def __reduce__(self) -> tuple[type[Units], tuple[tuple[str, ...]]]:
        """On another machine, it is one that starts the same program."""
        return Units, (self._command,)

    def start(self, environment: Mapping[str, str], said: IO[str], lock: IO[str]) -> subprocess.Popen[str] | None:
        """Start one; it has the lock, too, for as long as it lives. None once all are being ended."""
        with self._changing:
            if self.ending.is_set():
                return None
            process = subprocess.Popen(
                self._command, cwd=KIT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said,
                text=True, start_new_session=True, pass_fds=(lock.fileno(),),
            )  # fmt: skip
            self._running.add(process)
            return process

    def ended(self, process: subprocess.Popen[str]) -> None:
        """A unit is over."""
        with self._changing:
            self._running.discard(process)

    def stop(self) -> None:
        """Ask all to end, and have no other begin."""
        self.ending.set()
        with self._changing:
            for process in self._running:
                with contextlib.suppress(OSError):
                    process.terminate()


@dataclass(frozen=True)
class Ending:
    """How a unit ended. why: a sentence, or "" where it ended well; late: it took longer than it may."""

    why: str
    late: bool
    seconds: float


def carry_out(order: Order, limit_s: float, again: bool = False, units: Units | None = None) -> Grade:
    """Grade one submission in a process of its own, unless that has been done; gives what is then known.

    Args:
        limit_s: seconds after which it is ended.
        again: grade it although that has been done.
        units: what starts the process.
    """
    target, units = Path(order.target), units or Units()
    try:
        with alone(target, units) as lock:
            if lock is None:
                return Grade(GradeState.FAILED, ENDED, order.asked)
            if not again and (known := done(order)):
                return known
            forget(target)
            return _grade(order, limit_s, units, lock)
    except OSError as error:
        return Grade(GradeState.FAILED, f"{error.filename or target} cannot be written: {error.strerror}.", order.asked)


def done(order: Order) -> Grade | None:
    """The grade that is already there, if it is of the same submission, asked for in the same way, and final."""
    known = read_grade(Path(order.target))
    return known if known and known.asked == order.asked and known.is_final else None


@contextlib.contextmanager
def alone(target: Path, units: Units) -> Iterator[IO[str] | None]:
    """Hold the lock of the submission whose reports go to a folder; None when the batch ends meanwhile.

    Waits for whoever has it: another batch.
    """
    import fcntl

    folder = target.parent.parent / LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / target.name).open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if units.ending.wait(_POLL_S):
                    yield None
                    return
        yield file


def _grade(order: Order, limit_s: float, units: Units, lock: IO[str]) -> Grade:
    target = Path(order.target)
    ending = run_unit(order.as_json(), limit_s, units, lock)
    if not ending.why and (known := read_grade(target)):
        return known
    state, why = GradeState.LATE if ending.late else GradeState.FAILED, ending.why or _why(0, "")
    grade = Grade(state, why, order.asked, ending.seconds)
    with contextlib.suppress(OSError):  # the row says it all the same
        forget(target)  # half of a report would be taken for one, and fills the disk
        write_grade(grade, target)
    return grade


def run_unit(order: str, limit_s: float, units: Units, lock: IO[str]) -> Ending:
    """Start a unit, give it its order and wait for it. Its temporary files are taken away afterwards, however it ended.

    Args:
        order: one line of JSON; lock: of its submission, which the unit has, too.
    """
    start, scratch = time.monotonic(), Scratch()
    scratch.path.chmod(0o711)  # the worker may be another user, who passes through
    environment = {**os.environ, "TMPDIR": str(scratch.path), "OMP_NUM_THREADS": "1"}
    try:
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            process = units.start(environment, said, lock)
            if process is None:
                return Ending(ENDED, False, 0.0)
            in_time = _wait(process, order, limit_s)
            units.ended(process)
            if process.returncode:
                with contextlib.suppress(ProcessLookupError, PermissionError):  # what it left, if it was killed
                    os.killpg(process.pid, signal.SIGKILL)
            said.seek(0)
            last = said.read().strip().rpartition("\n")[2][-_SAID:].removeprefix("grader: ")
    finally:
        scratch.remove()
    seconds = round(time.monotonic() - start, 2)
    if process.returncode == 0:
        return Ending("", False, seconds)
    if not in_time:
        return Ending(f"it took longer than {limit_s / 60:g} minutes.", True, seconds)
    return Ending(_why(process.returncode, last), False, seconds)


def _wait(process: subprocess.Popen[str], order: str, limit_s: float) -> bool:
    """Give the unit its order and wait until it ends; whether it did within the limit."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(order + "\n")
        process.stdin.flush()
    try:
        process.wait(limit_s)
        return True
    except subprocess.TimeoutExpired:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_TO_CLEAN_UP_S)
        return False
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _why(code: int, last: str) -> str:
    """Why a unit left no state, in a sentence."""
    if code >= 0:
        return last or f"the grader ended with exit code {code}, and said nothing."
    name = signal.Signals(-code).name
    hint = "; perhaps it ran out of memory, and fewer --jobs help" if -code == signal.SIGKILL else ""
    return f"the process that graded it was ended by {name}{hint}."
