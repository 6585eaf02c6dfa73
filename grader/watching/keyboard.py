"""Single keys, read from a terminal as they are pressed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class Keyboard:
    """The terminal that standard input is; no keys come where it is none.

    descriptor: to wait for input on, or None.
    """

    def __init__(self) -> None:
        self.descriptor: int | None = None
        self._usual: Any = None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if sys.stdin.isatty() and sys.platform != "win32":
                self.descriptor = sys.stdin.fileno()

    def listen(self) -> None:
        """Have the terminal pass on each key at once and show none; Ctrl-C and Ctrl-Z do what they always do."""
        if self.descriptor is None or sys.platform == "win32":
            return
        import termios

        with contextlib.suppress(termios.error):
            self._usual = self._usual or termios.tcgetattr(self.descriptor)
            mode = termios.tcgetattr(self.descriptor)
            mode[3] &= ~(termios.ICANON | termios.ECHO)
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self.descriptor, termios.TCSADRAIN, mode)

    def leave(self) -> None:
        """Give the terminal back as it was."""
        if self.descriptor is None or self._usual is None or sys.platform == "win32":
            return
        import termios

        with contextlib.suppress(termios.error):
            termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self._usual)

    def pressed(self) -> str:
        """The keys that were pressed since; ends listening where the terminal is gone."""
        assert self.descriptor is not None
        try:
            keys = os.read(self.descriptor, 1024)
        except OSError:
            keys = b""
        if not keys:
            self.descriptor = None
        return keys.decode("utf-8", "replace")

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """To a program that reads from the terminal itself."""
        self.leave()
        try:
            yield
        finally:
            self.listen()
