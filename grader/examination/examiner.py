"""One examiner: a judge-side process that runs the kit's own tests, through pytest, against one submission.

    python -m grader.examination.examiner        (started by `runner.py`; not for people)

The order of work arrives as one JSON line on stdin; events leave as JSON lines on stdout (`session.py` has both).
Being a process of its own, an examiner that dies costs a restart, not the report. The submission's code is not in here
either: it answers from behind the wall.

Imports no torch until the submission's worker is on its way up, so that both import it at the same time.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

from ..wall.isolation import Isolation, Level
from ..wall.processes import adopt_orphans, become_undumpable, limit_own_memory
from ..wall.worker_start import Limits, StartedWorker
from ..worker.lean_imports import without_collections
from ..worker.loader import Layout
from .child_process import Events, leave

_MEMORY_MIB = 6144
"""What an examiner may take itself: several times what the tests need, and less than would bring a machine down."""


def main() -> int:
    """Carry out the order on stdin; returns the exit code."""
    become_undumpable()
    adopt_orphans()
    limit_own_memory(_MEMORY_MIB)
    events = Events()
    try:
        order = json.loads(sys.stdin.readline())
        started = _start_worker(order)
        with without_collections():
            from .session import carry_out
        return carry_out(order, started, events)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise  # another examiner may have more luck
        where = f" ({error.filename})" if error.filename else ""
        events.send("failed", message=f"what the tests need cannot be written: {error.strerror}{where}.")
        return 3


def _start_worker(order: dict[str, Any]) -> StartedWorker | None:
    """The worker that the order will need; None where there is no wall, or it may not be started so early."""
    isolation = Isolation.from_plain(order["isolation"])
    if isolation.level is Level.NONE or not order["start"]:
        return None
    layout = Layout.from_plain(order["layout"])
    return StartedWorker(layout, Limits(**order["limits"]), isolation, Path(order["scratch"]))


if __name__ == "__main__":
    os.environ.pop("PYTEST_ADDOPTS", None)
    os.environ.pop("PYTEST_PLUGINS", None)
    leave(main())
