"""Both ends of a process of the judge's own, which gets its order as a line of JSON and answers with events.

Imports no torch: whoever starts such a process does not wait for what that one imports.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import IO, Any, NoReturn, Protocol

from ..kit.paths import KIT

_LAST_WORDS = 2000


class Events:
    """Writes events to what was standard output when the process began, whatever pytest does to it later."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def send(self, event: str, **fields: Any) -> None:
        self.send_soon(event, **fields)
        self._stream.flush()

    def send_soon(self, event: str, **fields: Any) -> None:
        """Send an event together with the next one, which follows at once: whoever reads is woken half as often."""
        self._stream.write(json.dumps({"event": event, **fields}) + "\n")

    def flush(self) -> None:
        """Send what was to be sent soon."""
        self._stream.flush()


def start(module: str, stderr: IO[bytes] | int, *, apart: bool = False) -> subprocess.Popen[str]:
    """Start `python -m MODULE` in the kit; the order is not written yet.

    Args:
        stderr: a file that it complains to, or `subprocess.DEVNULL`.
        apart: in a process group of its own, which no Ctrl-C reaches; still in this session.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        cwd=KIT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(KIT), os.environ.get("PYTHONPATH", "")])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        process_group=0 if apart else None,
    )


class ChildProcess(Protocol):
    """What whoever started it needs of such a process; `subprocess.Popen[str]` has it."""

    @property
    def stdin(self) -> IO[str] | None: ...
    @property
    def stdout(self) -> IO[str] | None: ...
    def kill(self) -> None: ...
    def wait(self) -> int: ...  # also a second time


def tell(process: ChildProcess, message: dict[str, Any]) -> None:
    """Send a line of JSON. One that has ended does not hear it: its closed stdout says so, and is dealt with there."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()


def end(process: ChildProcess) -> None:
    """Kill it, wait for it, and close its streams, also where it ended without hearing what it was told."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):  # closing sends what is still to be sent
                stream.close()


def leave(code: int) -> NoReturn:
    """End this process, whose work is done, as it is: taking torch down takes longer than many tests, and half as long
    as importing it, and whoever sent for this process waits for its end."""
    sys.stderr.flush()
    os._exit(code)


def last_words(stderr: IO[bytes]) -> str:
    """The end of what it complained of."""
    stderr.seek(0)
    return stderr.read().decode("utf-8", "replace")[-_LAST_WORDS:].strip()
