"""Holds the races of one grade, and says what came of them.

Events that it sends: `machine`, `started` and `finished` for each race, `note` for a problem that cannot be assessed,
`noticed` (what honest code has no reason for) and `done`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..examination.child_process import Events
from ..scoring.races import RaceResult
from ..submission.faults import Fault
from ..wall.isolation import Isolation
from ..wall.walled import WalledSubmission
from ..wall.worker_start import StartedWorker
from ..worker.loader import Layout
from .contestants import WrongAnswer
from .devices import the_device
from .racing import ReferenceCannotRun, open_pairing, without_time
from .tensor_races import RACES
from .text_races import TEXT_RACES, run_text_race

TENSOR_BUDGET_S, TEXT_BUDGET_S = 6.0, 5.0


def hold(order: dict[str, Any], started: Sequence[tuple[Layout, StartedWorker]], events: Events) -> None:
    """Carry out an order.

    Args:
        started: the submission and the reference, each with the worker that was started for it, where there are races
            on texts.
    """
    torch.set_num_threads(1)
    problems: list[str] = order["problems"]
    gpu: bool = order["gpu"]
    isolation, scratch = Isolation.from_plain(order["isolation"]), Path(order["scratch"])

    if gpu and not torch.cuda.is_available():
        gpu = False
        for problem in problems:
            if problem in RACES:
                events.send("note", problem=problem, text="there is a GPU, but this PyTorch cannot use it")
    if texts := [problem for problem in problems if problem in TEXT_RACES]:
        student, reference = (
            WalledSubmission(layout, worker.limits, isolation, scratch, started=worker) for layout, worker in started
        )
        _hold_text_races(texts, student, reference, events)
    if gpu and (tensors := [problem for problem in problems if problem in RACES]):
        _hold_tensor_races(tensors, Layout.from_plain(order["layout"]), isolation, scratch, events)
    events.send("done")


def _hold_text_races(
    problems: list[str], student: WalledSubmission, reference: WalledSubmission, events: Events
) -> None:
    with _resumed_at_last(student), _resumed_at_last(reference):
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
def _resumed_at_last(submission: WalledSubmission) -> Iterator[None]:
    """Close a submission at the end, which has to run for that."""
    with submission:
        try:
            yield
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
