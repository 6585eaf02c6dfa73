"""Signals that ask a command to end: they end it as Ctrl-C does, with everything cleaned up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

_ASKING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP


class Ended(BaseException):
    """A signal asked this process to end; like KeyboardInterrupt, nothing but the command line catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.exit_code = 128 + number


@contextlib.contextmanager
def obeyed() -> Iterator[None]:
    """Have such signals raise `Ended` in the main thread: the first one, so that the second spoils no cleaning up.

    One that is ignored already, as under nohup, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ASKING}
    caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def end(number: int, _: object) -> None:
        for other in caught:
            signal.signal(other, signal.SIG_IGN)
        raise Ended(number)

    for number in caught:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, before[number] or signal.SIG_DFL)
