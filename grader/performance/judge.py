"""The process that holds the races of one grade.

    python -m grader.performance.judge        (started by `assess.py`; not for people)

The order arrives as one JSON line on stdin, events leave as JSON lines on stdout: `machine`, `started` and `finished`
for each race, `note` for a problem that cannot be assessed, and `done`.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch

from ..examination.child_process import Events
from ..scoring.races import RaceResult
from ..submission.faults import Fault
from ..wall.isolation import Isolation
from ..wall.processes import adopt_orphans, become_undumpable
from ..wall.walled import WalledSubmission
from ..wall.worker_start import Limits
from ..worker.loader import Layout
from .contestants import WrongAnswer
from .devices import the_device
from .racing import ReferenceCannotRun, open_pairing, reference_layout, without_time
from .tensor_races import RACES
from .text_races import TEXT_RACES, run_text_race

TENSOR_BUDGET_S, TEXT_BUDGET_S = 6.0, 5.0
_TEXT_CALL_S = 30.0


def main() -> int:
    """Carry out the order on stdin; returns the exit code."""
    become_undumpable()
    adopt_orphans()
    torch.set_num_threads(1)
    events = Events()
    order = json.loads(sys.stdin.readline())
    layout = Layout.from_plain(order["layout"])
    isolation = Isolation.from_plain(order["isolation"])
    scratch = Path(order["scratch"])
    problems: list[str] = order["problems"]
    gpu: bool = order["gpu"]

    if gpu and not torch.cuda.is_available():
        gpu = False
        for problem in problems:
            if problem in RACES:
                events.send("note", problem=problem, text="there is a GPU, but this PyTorch cannot use it")
    if texts := [problem for problem in problems if problem in TEXT_RACES]:
        _hold_text_races(texts, layout, isolation, scratch, events)
    if gpu and (tensors := [problem for problem in problems if problem in RACES]):
        _hold_tensor_races(tensors, layout, isolation, scratch, events)
    events.send("done")
    return 0


def _hold_text_races(problems: list[str], layout: Layout, isolation: Isolation, scratch: Path, events: Events) -> None:
    limits = Limits(call_s=_TEXT_CALL_S)
    in_its_python = replace(reference_layout("cpu"), environment=layout.environment)
    with (
        _walled(layout, limits, isolation, scratch) as student,
        _walled(in_its_python, limits, isolation, scratch) as reference,
    ):
        for race in (race for problem in problems for race in TEXT_RACES[problem]()):
            events.send("started", id=race.id)
            try:
                result = run_text_race(race, student, reference, TEXT_BUDGET_S)
            except (WrongAnswer, Fault) as error:
                result = without_time(race.problem, race.tensors, error)
            _tell(events, result)
        events.send("noticed", remarks=student.noticed)


def _tell(events: Events, result: RaceResult) -> None:
    if not result.is_assessed:
        events.send("note", problem=result.problem, text=result.message)
    events.send("finished", result=result.as_plain())


@contextlib.contextmanager
def _walled(layout: Layout, limits: Limits, isolation: Isolation, scratch: Path) -> Iterator[WalledSubmission]:
    with WalledSubmission(layout, limits, isolation, scratch) as submission:
        try:
            yield submission
        finally:
            submission.resume()


def _hold_tensor_races(
    problems: list[str], layout: Layout, isolation: Isolation, scratch: Path, events: Events
) -> None:
    device = the_device(gpu=True)
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(open_pairing(layout, isolation, device, scratch))
        except ReferenceCannotRun as error:
            for problem in problems:
                events.send("note", problem=problem, text=str(error))
            return
        events.send("machine", machine={**device.describe(), "ceilings": asdict(opened.ceilings)})
        for race in (race for problem in problems for race in RACES[problem](device.name)):
            events.send("started", id=race.id)
            _tell(events, opened.run(race, TENSOR_BUDGET_S))
        events.send("machine", machine={"afterwards": device.describe()})
        events.send("noticed", remarks=opened.student.submission.noticed)


if __name__ == "__main__":
    sys.exit(main())
