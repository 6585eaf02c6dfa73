"""The process that holds the races of one grade.

    python -m grader.performance.judge        (started by `assess.py`; not for people)

Two JSON lines arrive on stdin: where the submission is, and later which races to hold. Events leave as JSON lines on
stdout (`holding.py` has both). Imports no torch until the workers that race on texts are on their way up, so that all
three import it at the same time.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..examination.child_process import Events, leave
from ..wall.isolation import Isolation
from ..wall.processes import adopt_orphans, become_undumpable
from ..wall.worker_start import Limits, StartedWorker
from ..worker.lean_imports import without_collections
from ..worker.loader import Layout
from .reference_layout import reference_layout

_TEXT_CALL_S = 30.0


def main() -> int:
    """Carry out the order on stdin; returns the exit code."""
    become_undumpable()
    adopt_orphans()
    events = Events()
    place = json.loads(sys.stdin.readline())
    started = _start_workers(place) if place["texts"] else []
    with without_collections():
        from .holding import hold
    hold({**place, **json.loads(sys.stdin.readline())}, started, events)
    return 0


def _start_workers(place: dict[str, Any]) -> list[tuple[Layout, StartedWorker]]:
    """The submission and the reference, each with a worker; the reference's has the submission's Python."""
    layout, isolation = Layout.from_plain(place["layout"]), Isolation.from_plain(place["isolation"])
    in_its_python = replace(reference_layout("cpu"), environment=layout.environment)
    limits, scratch = Limits(call_s=_TEXT_CALL_S), Path(place["scratch"])
    return [(one, StartedWorker(one, limits, isolation, scratch)) for one in (layout, in_its_python)]


if __name__ == "__main__":
    leave(main())
