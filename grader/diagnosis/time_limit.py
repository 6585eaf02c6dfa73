"""Known bugs are programs, and some of them loop: what they are asked must end.

The limit interrupts Python code wherever it is, by a signal to the main thread. It cannot interrupt a single call into
compiled code that does not come back (no misconception of the catalogue has one), nor anything in another thread; there
time is only looked at between two questions.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType


class OutOfTime(BaseException):
    """Time is up. Not an `Exception`: wrong variants may catch all of those."""


class TimeLimit:
    """seconds: so long may all that is done `within` it take together, on the clock."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self._ends - time.monotonic()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let the block take so many seconds, or what is left if that is less.

        Raises:
            OutOfTime: it took longer, or nothing is left.
        """
        seconds = min(seconds, self.left)
        if seconds <= 0:
            raise OutOfTime
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGALRM, _interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again and again: what cleans up may loop, too
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise OutOfTime
