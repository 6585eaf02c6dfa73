"""How long a call may take: the seconds that it is charged, not those for which it waited for a processor.

A limit on the clock is unfair on a busy machine, and one on processor time is none for whoever sleeps. Charged is what
a call computes and what it sleeps: of the time on the clock all but that for which its processes were ready to run and
others ran. Who waits behind threads of his own is charged what those compute. Before a limit is held against a call
it grows with the slowness of this machine there and then, and there is an end on the clock in any case.

A call that ends within half a second costs no more than a look at the clock and at one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .processes import Usage

PATIENCE = 10.0
"""On the clock a call may take so many times its limit."""

UNACCOUNTED = 2.0
"""How many times its processor time a call may be charged: what waited for a processor may have ended since."""

_UNNOTICED_S = 0.5
_SHORTEST_LOOK_S = 0.05
_STEPS = 20_000
_USUAL_S = 1.6e-3
"""Seconds that `_STEPS` take on the two-core machine for which the limits were set."""

_TRIES = 3
_SLOWEST = 4.0


class Spent(Exception):
    """The call may not go on."""


class Allowance:
    """The time of one call, from the moment in which this is made.

    Args:
        limit_s: seconds that it may be charged.
        usage: reads what the call's processes have used so far; None where that cannot be known.
        wait: reads cheaply how long the call's main thread has waited for a processor so far; for calls so short that
            nothing else is looked at.
        extend: asked before a call has to end; gives the seconds that it may have more, once or for ever none.
        slowness: how many times as long as usual this machine takes for a computation, at least 1.
        clock: seconds that pass.
    """

    def __init__(
        self,
        limit_s: float,
        usage: Callable[[], Usage | None],
        extend: Callable[[], float] = lambda: 0.0,
        slowness: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.limit_s = limit_s
        self._usage, self._extend, self._clock = usage, extend, clock
        self._slowness = slowness or slowness_of_this_machine
        self._more_s = 0.0
        self._factor: float | None = None
        self._unnoticed_s = min(_UNNOTICED_S, limit_s / 4)
        self._before: Usage | None = None
        self._looked_s: float | None = None
        self._wait = wait
        self._waited_before_s = wait()
        self._unnoticed_charge_s = 0.0
        self._start = clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds on the clock."""
        return self._clock() - self._start

    @property
    def allowed_s(self) -> float:
        """Seconds that may be charged, as far as that is known by now."""
        return self.limit_s * (self._factor or 1.0) + self._more_s

    def charged_s(self) -> float:
        """Seconds that the call is charged so far."""
        elapsed = self.elapsed_s
        if self._looked_s is None:
            return max(elapsed - (self._wait() - self._waited_before_s), elapsed / PATIENCE)
        if self._before is None or (now := self._usage()) is None:
            return elapsed
        return self._unnoticed_charge_s + charged(elapsed - self._looked_s, now.since(self._before))

    def next_look_s(self) -> float:
        """Seconds for which there is nothing to look at, unless the answer comes.

        Raises:
            Spent: when the call may not go on.
        """
        elapsed = self.elapsed_s
        if self._looked_s is None:
            if elapsed < self._unnoticed_s:
                return self._unnoticed_s - elapsed
            self._unnoticed_charge_s = self.charged_s()
            self._before, self._looked_s = self._usage(), elapsed
        if elapsed < self.limit_s:
            return self.limit_s - elapsed
        left = self.allowed_s - self.charged_s()
        if left <= 0 and self._factor is None:
            self._factor = min(max(1.0, self._slowness()), _SLOWEST)
            left = self.allowed_s - self.charged_s()
        if left <= 0 and (more := self._extend()) > 0:
            self._more_s += more
            left += more
        end = PATIENCE * self.limit_s + self._more_s - elapsed
        if min(left, end) <= 0:
            raise Spent
        return max(min(left, end), _SHORTEST_LOOK_S)


def charged(elapsed_s: float, used: Usage) -> float:
    """The seconds of `elapsed_s` on the clock that count, given what was used meanwhile. Pure."""
    return min(elapsed_s, max(used.cpu_s, elapsed_s - used.longest_wait_s))


def least_seconds(computed_s: float, charged_s: float) -> float:
    """What a timed call took: processor time, bounded by what the call was charged. Pure.

    The kernel accounts nobody for the processor time of a child whose parent does not want to know that it has ended.
    A call that is charged several times what it seems to have computed has computed somewhere, or slept.
    """
    return max(computed_s, charged_s / UNACCOUNTED)


def slowness_of_this_machine() -> float:
    """How many times as long as usual a fixed computation takes here and now, in processor time.

    A processor that is shared, throttled or simply older computes less in a second than the one for which limits were
    set; the best of a few tries counts.
    """
    best = min(_processor_time() for _ in range(_TRIES))
    return best / _USUAL_S


def _processor_time() -> float:
    start = time.thread_time()
    table: dict[int, int] = {}
    for step in range(_STEPS):
        table[step & 255] = table.get(step & 255, 0) + step
    return time.thread_time() - start
