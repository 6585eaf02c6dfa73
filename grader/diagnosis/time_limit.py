"""Limits of what diagnosis may do: a search ends by what it has done, and a clock is only its last guard.

A search that ended by the clock would find more on an idle machine than on a busy one, and reports would differ.

Known bugs are programs, too, and some of them loop: what they are asked must end. That limit counts processor time and
interrupts Python code wherever it is, by a signal to the main thread. It cannot interrupt a single call into compiled
code that does not come back (no misconception of the catalogue has one), nor anything in another thread; there time is
only looked at between two questions.
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


_GUARD = 10.0
"""A clock ends what waits, which takes no processor time, after so many times as long."""


_SELDOM = 32
"""Only so often does a search look at the clock: looking takes as long as a step."""


class Work:
    """What a search may still do, counted in whatever it does: the same search ends at the same place on any machine.

    Args:
        amount: in units of the search; within: a larger amount of which this is a part.
        guard_s: seconds of processor time after which it is over all the same: far more than the amount takes.
    """

    def __init__(self, amount: float, within: Work | None = None, guard_s: float = 60.0) -> None:
        self._left = amount
        self._within = within
        self._ends = time.process_time() + guard_s
        self._looks = 0

    def spend(self, amount: float = 1.0) -> None:
        self._left -= amount
        if self._within is not None:
            self._within.spend(amount)

    @property
    def is_over(self) -> bool:
        if self._within is not None and self._within.is_over:
            return True
        self._looks += 1
        if self._looks % _SELDOM == 1 and time.process_time() > self._ends:
            self._left = 0.0
        return self._left <= 0


class TimeLimit:
    """seconds: so much processor time may all that is done `within` it take together."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.process_time() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self._ends - time.process_time()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let the block take so many seconds of processor time, or what is left if that is less.

        Raises:
            OutOfTime: it took longer, or nothing is left.
        """
        seconds = min(seconds, self.left)
        if seconds <= 0:
            raise OutOfTime
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        timers = ((signal.SIGPROF, signal.ITIMER_PROF, seconds), (signal.SIGALRM, signal.ITIMER_REAL, _GUARD * seconds))
        before = {number: signal.signal(number, _interrupt) for number, _, _ in timers}
        try:
            for _, timer, limit in timers:
                signal.setitimer(timer, limit, 1.0)  # again and again: what cleans up may loop, too
            yield
        finally:
            for _, timer, _ in timers:
                signal.setitimer(timer, 0)
            for number, handler in before.items():
                signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise OutOfTime
