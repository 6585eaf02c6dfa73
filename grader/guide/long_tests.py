"""What a test is doing, for as long as it takes longer than a second: one line on a terminal, gone when it ends.

The line begins where pytest has stopped writing (after the dots, or after the test's name) and never reaches the right
margin, so that taking it back is a matter of going back some columns. Where nobody watches (a file, a pipe, a worker of
pytest-xdist) nothing is written, nor where somebody debugs or asked for what tests print.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import pytest

_SECOND = 1.0
_LEAST_ROOM = 20
"""Columns; a line with less of them says nothing."""


class LongTests:
    """Follows the phases of each test; `saying` is for whatever else takes long."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._line: _Line | None = None
        self._descriptor = self._watched_terminal()

    @contextlib.contextmanager
    def saying(self, what: str) -> Iterator[None]:
        """Say what is being done, from a second on and until the block ends."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if self._descriptor is not None and reporter is not None:
            room = reporter._tw.fullwidth - reporter._tw.width_of_current_line - 2
            self._line = _Line(self._descriptor, what, room) if room >= _LEAST_ROOM else None
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Take the line back, if one is shown."""
        if self._line is not None:
            self._line.end()
            self._line = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        with self.saying(_doing(item)):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        with self.saying(_doing(item)):
            return (yield)

    def pytest_enter_pdb(self) -> None:
        """At a breakpoint the terminal belongs to whoever debugs."""
        self.end()

    def pytest_unconfigure(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _watched_terminal(self) -> int | None:
        """A descriptor of the terminal, where somebody watches it and nobody else writes there.

        One of our own: pytest points the usual one elsewhere while a test runs. It is not captured yet when plugins
        are configured.
        """
        options = self._config.option
        if getattr(options, "capture", "no") == "no" or getattr(options, "usepdb", False):
            return None
        if os.environ.get("TERM", "dumb") == "dumb" or sys.stdout is None or not sys.stdout.isatty():
            return None
        return os.dup(sys.stdout.fileno())


def _doing(item: pytest.Item) -> str:
    """The first line of a test's docstring: the claim that it tries."""
    documentation = getattr(getattr(item, "function", None), "__doc__", None) or item.name
    return str(documentation).strip().splitlines()[0]


class _Line:
    """A line that appears after a second, counts seconds, and can be taken back.

    Args:
        descriptor: of the terminal; room: columns that it may take.
    """

    def __init__(self, descriptor: int, what: str, room: int) -> None:
        self._descriptor = descriptor
        self._what = what
        self._room = room
        self._begun = time.monotonic()
        self._shown = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self._write("")

    def _count(self) -> None:
        while not self._over.wait(_SECOND):
            self._write(f" {time.monotonic() - self._begun:.0f} s: {self._what}"[: self._room])

    def _write(self, text: str) -> None:
        """Put a text in the place of the one that is shown, and go back to where it begins."""
        blank = " " * max(0, self._shown - len(text))
        if text or blank:
            back = "\b" * len(text + blank)
            with contextlib.suppress(OSError):  # a terminal that is gone is nobody's concern here
                os.write(self._descriptor, f"{text}{blank}{back}".encode("utf-8", "replace"))
        self._shown = len(text)
