"""A program in a real pseudo-terminal, as a person sees it: what is on the screen, keys, another size, Ctrl-C."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_CLEAR, _CLEAR_LINE = "\x1b[2J", "\x1b[2K"


class PseudoTerminal:
    """Runs a command in a terminal of this size.

    Args:
        environment: what differs from this process' own.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, columns: int = 100, rows: int = 40, **environment: str
    ) -> None:
        self._written = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            variables = {**os.environ, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1", **environment}
            for name in ("COLUMNS", "LINES", "NO_COLOR", "CI"):
                variables.pop(name, None)
            os.chdir(folder)
            for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):  # as by a shell that runs tests beside
                signal.signal(ignored, signal.SIG_DFL)
            os.execvpe(command[0], list(command), variables)
        self._set_size(columns, rows)

    def wait_for(self, text: str, within_s: float = 60.0) -> str:
        """The screen as soon as it shows a text that matches; what an earlier call has seen is on it as well.

        Raises:
            AssertionError: it does not show it in time.
        """
        end = time.monotonic() + within_s
        while not re.search(text, self.screen):
            assert time.monotonic() < end, f"{text!r} did not come within {within_s:g} s:\n{self.screen}"
            self._read(0.05)
        return self.screen

    def next_screen(self, text: str, after: Callable[[], object], within_s: float = 60.0) -> str:
        """The same for a screen that is drawn after something is done, as soon as it may come."""
        self.forget()
        after()
        return self.wait_for(text, within_s)

    def forget(self) -> None:
        """Take what has been shown so far for seen."""
        self._read(0.0)
        self._written = ""

    @property
    def screen(self) -> str:
        """What is to be seen since the screen was last cleared, without colours."""
        shown = self._written.rpartition(_CLEAR)[2].replace("\r\n", "\n")
        lines = (line.rpartition(_CLEAR_LINE)[2] for line in shown.split("\n"))
        return "\n".join(_SEQUENCE.sub("", line).rstrip() for line in lines)

    def press(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """As a person who pulls at the window: the terminal tells the program in front."""
        self._set_size(columns, rows)

    def ends_with(self, within_s: float = 20.0) -> int:
        """The exit code of the program, once it has ended."""
        end = time.monotonic() + within_s
        while True:
            self._read(0.05)
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < end, f"it did not end within {within_s:g} s:\n{self.screen}"

    @property
    def modes(self) -> int:
        """The terminal's local modes (termios(3)), such as whether keys are shown."""
        return termios.tcgetattr(self._descriptor)[3]

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        os.close(self._descriptor)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self, within_s: float) -> None:
        """Take in what the program has written; waits for it no longer than this."""
        while select.select([self._descriptor], [], [], within_s)[0]:
            try:
                part = os.read(self._descriptor, 65536)
            except OSError:  # the program has ended
                return
            if not part:
                return
            self._written += self._decoder.decode(part)
            within_s = 0.0
