"""Standard output and error, which may be closed, full, or unable to show a character: none of that stops a command.

Imports nothing heavy: `--help` goes through here, too.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO

from .errors import Failed
from .escape import visible


def prepare() -> None:
    """Have both show a substitute for what their encoding lacks, and give a place to those that are closed.

    A closed descriptor would otherwise be that of the next file that is opened.
    """
    with contextlib.suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def say(text: str, stream: TextIO | None = None) -> None:
    """Write a line to standard output, or to the stream that is named, at once.

    Who reads it may have gone away with enough, as `head` does; that is no fault.

    Raises:
        Failed: it cannot be written, as on a full disk.
    """
    stream = stream or sys.stdout
    if stream is None:
        return
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except BrokenPipeError:
        _give_up(stream)
    except OSError as error:
        _give_up(stream)
        raise Failed(f"what it has to say cannot be written to {_name(stream)}: {error.strerror}.") from error


def complain(text: str) -> None:
    """Write a sentence to standard error, if that is possible."""
    with contextlib.suppress(OSError, ValueError, Failed):
        if sys.stderr is not None:
            say(f"grader: {visible(text)}", sys.stderr)


def _give_up(stream: TextIO) -> None:
    """Let what is still in the stream, and whatever follows, go nowhere; else Python complains of it when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _name(stream: TextIO) -> str:
    return "standard error" if stream is sys.stderr else "standard output"
