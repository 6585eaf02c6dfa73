"""Has the races of a grade held, in a process of their own, and follows them. Imports no torch."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import Failed, Refused
from ..examination import child_process
from ..scoring.outcome import Outcome, Result
from ..scoring.progress import Progress
from ..scoring.races import RaceResult, Speed
from ..scoring.rubric import Problem
from ..wall.isolation import Isolation, Level
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


class RaceJudge:
    """The process that holds the races of one grade. Use it as a context manager.

    Args:
        layout: where the submission is; isolation: how strongly it is shut in.
        problems: those whose races may be asked for.
    """

    def __init__(self, layout: Layout, isolation: Isolation, problems: Sequence[Problem]) -> None:
        self._scratch = Scratch()
        self._is_alone = isolation.level is Level.BUBBLEWRAP
        self._place = {
            "layout": layout.as_plain(),
            "isolation": isolation.as_plain(),
            "scratch": str(self._scratch.path),
            "texts": any(problem.id in ON_CPU for problem in problems),
        }
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed in __exit__)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> RaceJudge:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            child_process.end(self._process)
        end()
        self._scratch.remove()
        self._stderr.close()

    def start_ahead(self) -> None:
        """Start it while tests still run, so that it has everything imported, as have the workers that race on texts.

        Only where each worker has a cell of its own: elsewhere what the tests start could reach the reference's worker.
        """
        if self._is_alone:
            self._start()

    def _start(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = child_process.start("grader.performance.judge", self._stderr)
            child_process.tell(self._process, self._place)
        return self._process

    def hold(self, problems: Sequence[str], gpu: bool) -> Iterator[dict[str, Any]]:
        """Have these races held, once; gives the events that come of it (see `holding.py`).

        Raises:
            Failed: when they could not be held to their end.
        """
        process = self._start()
        child_process.tell(process, {"problems": list(problems), "gpu": gpu})
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "done":
                return
            yield event
        raise Failed(f"the races could not be held to their end.\n{child_process.last_words(self._stderr)}")


def assess_speed(
    judge: RaceJudge | None, problems: Sequence[Problem], *, gpu: bool | None = None, progress: Progress | None = None
) -> Speed:
    """Hold the races of these problems.

    Args:
        judge: who holds them; None where none of them can be held here.
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
    assert judge is not None
    start = time.monotonic()
    progress = progress or Progress()
    results: list[RaceResult] = []
    machine: dict[str, Any] = {}
    noticed: list[Any] = []
    for event in judge.hold(wanted, use_gpu):
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
    return Speed(tuple(results), notes, machine, time.monotonic() - start, tuple(noticed))
