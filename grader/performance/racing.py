"""Races between a submission and the reference, and what is said about them.

The reference lives behind the same wall, and is started, stopped, asked and checked like the submission. On a GPU its
adapters are those of `grader/kernels`, on the CPU those of the staff solution.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..escape import visible
from ..scoring.races import RaceResult
from ..submission.faults import AdapterMissing, Fault, NothingToAssess, Todo
from ..wall.isolation import Isolation
from ..worker.loader import Layout
from ..worker.shared_memory import ALIGNMENT
from .contestants import Contestant, PreparedRace, WrongAnswer
from .devices import Ceilings, Device, DeviceBusy
from .paired_turns import take_turns
from .race import Race
from .reference_layout import reference_layout
from .statistics import Pair, Taken, Thresholds, estimate, verdict
from .tensor_races import RACES

FEWEST_SLOTS, MOST_SLOTS = 4, 256
IMPOSSIBLE = 0.85
"""A time below this share of the least possible one cannot be; ceilings are measured, and measured ones vary."""


def summed_up(
    problem: str, tensors: str, pairs: list[Pair], thresholds: Thresholds, calls: int, **further: Any
) -> RaceResult:
    """The result of a race whose answers were right."""
    found = estimate(pairs)
    return RaceResult(
        problem,
        tensors,
        "measured",
        verdict=str(verdict(found, thresholds)),
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        full=thresholds.full,
        none=thresholds.none,
        share=thresholds.fraction(found.ratio),
        pairs=len(pairs),
        student_ms=1e3 * statistics.median(pair.student for pair in pairs) / calls,
        reference_ms=1e3 * statistics.median(pair.reference for pair in pairs) / calls,
        **further,
    )


def without_time(problem: str, tensors: str, error: Exception) -> RaceResult:
    """The result of a race that an error has ended."""
    match error:
        case WrongAnswer():
            status = "wrong"
        case Todo():
            status = "todo"
        case AdapterMissing():
            status = "not_provided"
        case DeviceBusy():
            status = "busy"
        case NothingToAssess():
            status = "absent"
        case Fault():
            status = "failed"
        case _:
            raise error
    return RaceResult(problem, tensors, status, visible(error.message if isinstance(error, Fault) else str(error)))


class ReferenceCannotRun(Exception):
    """The reference does not even start behind the wall here, which says nothing about a submission; the message is for
    whoever runs the grader."""


class Pairing:
    """A submission and the reference, side by side on one device.

    student, reference: their contestants; problems: those whose races they are there for.
    """

    def __init__(self, student: Contestant, reference: Contestant, device: Device, ceilings: Ceilings) -> None:
        self.student, self.reference = student, reference
        self.device, self.ceilings = device, ceilings
        self._chance = secrets.SystemRandom()

    def run(self, race: Race, budget_s: float) -> RaceResult:
        """Hold one race."""
        try:
            return self._run(race, budget_s)
        except (WrongAnswer, Fault, DeviceBusy) as error:
            return without_time(race.problem, race.tensors, error)

    def _run(self, race: Race, budget_s: float) -> RaceResult:
        slots = self._slots_for(race)
        before = self.device.used_bytes()
        with self._prepared(self.reference, race, slots) as reference:
            between = self.device.used_bytes()
            with self._prepared(self.student, race, slots) as student:
                reference_turn = _trusted(reference)
                pairs = take_turns(
                    student.turn,
                    reference_turn,
                    race.thresholds,
                    chance=random.Random(self._chance.getrandbits(62)),
                    budget_s=budget_s,
                )
                after = self.device.used_bytes()
        peaks = between - before, after - between
        if self.device.name == "cpu":
            peaks = self.reference.submission.peak_memory(), self.student.submission.peak_memory()
        bytes_, flops = race.all_bytes, race.least_flops
        least_s = self.ceilings.least_seconds(bytes_, flops, race.product_dtype)
        counts_bytes = not flops or bytes_ / self.ceilings.bandwidth >= least_s
        result = summed_up(
            race.problem,
            race.tensors,
            pairs,
            race.thresholds,
            slots,
            roofline_ms=1e3 * least_s,
            work=float(bytes_ if counts_bytes else flops),
            unit="B" if counts_bytes else "FLOP",
            reference_mib=peaks[0] / (1 << 20),
            student_mib=peaks[1] / (1 << 20),
        )
        if result.student_ms < IMPOSSIBLE * result.roofline_ms:
            message = (
                f"{race.tensors}: {result.student_ms:.4g} ms for a call, where the device needs "
                f"{result.roofline_ms:.4g} ms at least: something else than this computation was timed."
            )
            return RaceResult(
                **{**result.as_plain(), "status": "impossible", "message": message, "share": 0.0, "verdict": ""}
            )
        return result

    def _slots_for(self, race: Race) -> int:
        """How many calls a turn has: as many as make it long enough, as far as memory goes."""
        state = sum(given.nbytes for given in race.state.values()) + ALIGNMENT * len(race.state)
        per_slot = race.slot_bytes + ALIGNMENT * (len(race.inputs) + len(race.outputs))
        room = (self.reference.shared_memory.size - state) // per_slot
        if room < FEWEST_SLOTS:
            raise ValueError(f"{race.id} takes more memory than there is")
        with self._prepared(self.reference, race, FEWEST_SLOTS) as reference:
            turn = _trusted(reference)
            turn(1)
            per_call = min(turn(seed).seconds for seed in (2, 3)) / FEWEST_SLOTS
        return max(FEWEST_SLOTS, min(int(self.device.batch_s / per_call), MOST_SLOTS, room))

    @contextlib.contextmanager
    def _prepared(self, contestant: Contestant, race: Race, slots: int) -> Iterator[PreparedRace]:
        try:
            prepared = PreparedRace(contestant, race, slots)
        except Fault as error:
            if contestant is self.reference:
                raise _failed(race, error) from error
            raise
        try:
            yield prepared
        finally:
            with contextlib.suppress(Fault):  # it may have ended, and all is forgotten
                prepared.release()


def _trusted(prepared: PreparedRace):
    """A turn of the reference: when that is wrong or fails, the grader is at fault and not the submission."""

    def turn(seed: int) -> Taken:
        try:
            return prepared.turn(seed)
        except (WrongAnswer, Fault) as error:
            raise _failed(prepared.race, error) from error

    return turn


def _failed(race: Race, error: Exception) -> RuntimeError:
    return RuntimeError(f"the reference failed in {race.id}: {error}")


def shared_bytes(device: Device) -> int:
    """The size of a shared memory in which every race of the device has room for its fewest slots."""
    most = 0
    for races in RACES.values():
        for race in races(device.name):
            state = sum(given.nbytes for given in race.state.values())
            tensors = len(race.state) + FEWEST_SLOTS * (len(race.inputs) + len(race.outputs))
            most = max(most, state + FEWEST_SLOTS * race.slot_bytes + ALIGNMENT * tensors)
    return max(most, device.memory_bytes)


@contextlib.contextmanager
def open_pairing(
    layout: Layout, isolation: Isolation, device: Device, scratch: Path | None = None, reference: Layout | None = None
) -> Iterator[Pairing]:
    """Open a submission and the reference, and measure the device.

    Raises:
        ReferenceCannotRun: when the device cannot be used behind the wall. The submission has not been started then, so
            that it cannot be the cause.
    """
    size = shared_bytes(device)
    ceilings = device.ceilings()
    with Contestant(reference or reference_layout(device.name), isolation, device, size, scratch) as theirs:
        try:
            theirs.open()
        except Fault as error:
            raise ReferenceCannotRun(
                f"the {device.name} device cannot be used behind the wall here ({isolation.level}): {error.message}"
            ) from error
        with Contestant(layout, isolation, device, size, scratch) as ours:
            yield Pairing(ours, theirs, device, ceilings)
