"""Has the races of a grade held, in a process of their own, and follows them. Imports no torch."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import Failed, Refused
from ..examination import child_process
from ..scoring.outcome import Outcome, Result
from ..scoring.progress import Progress
from ..scoring.races import RaceResult, Speed
from ..scoring.rubric import Problem
from ..wall.isolation import Isolation
from ..wall.processes import end
from ..wall.scratch import Scratch
from ..worker.loader import Layout

ON_CPU = frozenset({"train_bpe_speed", "tokenizer_speed"})
"""Problems whose races need no GPU."""

_NO_GPU = "needs a GPU"


def sees_gpu() -> bool:
    """Whether there is an NVIDIA GPU that this process may use, without asking torch, which takes seconds to load."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()


def require_gpu(gpu: bool | None) -> None:
    """Refuse to go on where a GPU is asked for, and there is none."""
    if gpu and not sees_gpu():
        raise Refused("--gpu: there is no NVIDIA GPU here that this process may use (see CUDA_VISIBLE_DEVICES).")


def can_be_held(problem: str, gpu: bool | None) -> bool:
    """Whether the races of a problem can be held here; `gpu` as in `assess_speed`."""
    return problem in ON_CPU or (sees_gpu() if gpu is None else gpu)


def assess_speed(
    layout: Layout,
    problems: Sequence[Problem],
    *,
    isolation: Isolation,
    gpu: bool | None = None,
    progress: Progress | None = None,
) -> Speed:
    """Hold the races of these problems.

    Args:
        gpu: whether to use one: yes, no, or (None) if there is one.

    Raises:
        Refused: a GPU is asked for, and there is none.
        Failed: when the races could not be held.
    """
    require_gpu(gpu)
    use_gpu = sees_gpu() if gpu is None else gpu
    wanted = [problem.id for problem in problems if can_be_held(problem.id, use_gpu)]
    notes = {problem.id: _NO_GPU for problem in problems if problem.id not in wanted}
    if not wanted:
        return Speed(notes=notes)
    start = time.monotonic()
    progress = progress or Progress()
    scratch = Scratch()
    order = {
        "layout": layout.as_plain(),
        "isolation": isolation.as_plain(),
        "scratch": str(scratch.path),
        "problems": wanted,
        "gpu": use_gpu,
    }
    try:
        results, further, machine, noticed = _follow(order, progress)
    finally:
        end()
        scratch.remove()
    return Speed(tuple(results), {**notes, **further}, machine, time.monotonic() - start, tuple(noticed))


def _follow(
    order: dict[str, Any], progress: Progress
) -> tuple[list[RaceResult], dict[str, str], dict[str, Any], list[Any]]:
    """Start the judge and take down what it says."""
    results: list[RaceResult] = []
    notes: dict[str, str] = {}
    machine: dict[str, Any] = {}
    noticed: list[Any] = []
    is_done = False
    with tempfile.TemporaryFile() as stderr:
        process = child_process.start("grader.performance.judge", stderr)
        assert process.stdout is not None
        try:
            child_process.tell(process, order)
            for line in process.stdout:
                event = json.loads(line)
                match event["event"]:
                    case "started":
                        progress.planned(1)
                        progress.started(event["id"])
                    case "finished":
                        result = RaceResult.from_plain(event["result"])
                        results.append(result)
                        progress.finished(Outcome(f"{result.problem}: {result.tensors}", Result.PASS))
                    case "note":
                        notes[event["problem"]] = event["text"]
                    case "machine":
                        machine |= event["machine"]
                    case "noticed":
                        noticed += event["remarks"]
                    case "done":
                        is_done = True
        finally:
            child_process.end(process)
        if not is_done:
            raise Failed(f"the races could not be held to their end.\n{child_process.last_words(stderr)}")
    return results, notes, machine, noticed
