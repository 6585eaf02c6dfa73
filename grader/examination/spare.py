"""An examiner that is started before anybody knows what it will examine: its answer then needs no seconds of imports.

Such an examiner, and the worker that it has started in its turn, have everything imported but the submission, which is
loaded once the order is there, as it then is. Each carries out one order: what a submission does to its worker ends
with that. `isolation.ahead` says where a worker can be started so early.
"""

from __future__ import annotations

import subprocess
import threading
from typing import IO, Any

from ..wall.isolation import Isolation, ahead
from ..wall.scratch import Scratch
from ..worker.loader import Layout
from . import child_process

_EXAMINER = "grader.examination.examiner"


class Cancelled(Exception):
    """Nobody waits for the outcome any more."""


class Spare:
    """One examiner, started ahead. `launch` hands it out (see `runner.Launch`), and an ordinary one should it die.

    Args:
        layout: where the submission is; isolation: how strongly it is shut in, which `isolation` may change in what the
            submission finds when it writes.
    """

    def __init__(self, layout: Layout, isolation: Isolation) -> None:
        self.layout = layout
        early = ahead(isolation, layout)
        self.isolation = early or isolation
        self._scratch = Scratch()
        self._lock = threading.Lock()
        self._cancelled = False
        self._process = child_process.start(_EXAMINER, subprocess.DEVNULL, apart=True)
        self._handed_out = False
        place = {
            "layout": layout.as_plain(),
            "isolation": self.isolation.as_plain(),
            "limits": {},
            "start": early is not None,
            "scratch": str(self._scratch.path),
        }
        child_process.tell(self._process, place)  # should it have died, another takes its place when it is needed

    def launch(self, stderr: IO[bytes]) -> Any:
        """The process; raises Cancelled after `cancel`."""
        with self._lock:
            if self._cancelled:
                raise Cancelled
            if self._handed_out:
                self._process = child_process.start(_EXAMINER, stderr, apart=True)
            self._handed_out = True
            return self._process

    def is_alive(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def cancel(self) -> None:
        """End whatever it is at, from any thread; whoever follows it meets `Cancelled`."""
        with self._lock:
            self._cancelled = True
            self._process.kill()

    def close(self) -> None:
        """End it, and remove what its worker wrote."""
        self.cancel()
        child_process.end(self._process)
        self._scratch.remove()
