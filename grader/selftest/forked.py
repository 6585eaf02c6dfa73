"""Examiners for tests of the grader: processes like any other, but without the seconds that starting one takes."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from typing import IO

import torch

from grader.examination import examiner


class ForkedExaminer:
    """An examiner that starts as a fork of this process, which has everything imported: seconds become milliseconds."""

    def __init__(self, stderr: IO[bytes]) -> None:
        order, report = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.dup2(order[0], 0)
            os.dup2(report[1], 1)
            os.dup2(stderr.fileno(), 2)
            _examine()
        os.close(order[0])
        os.close(report[1])
        self.stdin: IO[str] = os.fdopen(order[1], "w")
        self.stdout: IO[str] = os.fdopen(report[0], "r")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def _examine() -> None:
    """What `python -m grader.examination.examiner` does, in a process that is a copy of this one."""
    torch.set_num_threads(1)  # the threads of the original are not in the copy
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb", closefd=False))
    code = 1
    try:
        code = examiner.main()
    finally:
        os._exit(code)
