"""A contestant: a submission in its worker, and the shared memory that the judge shares with it.

How cheating with time is shut out, in this module and those it uses:

*The clock* is the judge's: on a GPU the host's monotonic clock around one request and its answer, on the CPU the
kernel's account of processor time, bounded from below by the time that passed (`statistics.pair_of`). No timer, event
or synchronisation of the worker's process counts, so patching them changes nothing. A turn is long (`Device.batch_s`,
many calls), so that what a request costs beside the calls is small; both contestants pay it.

*Work after the answer* (threads, other streams, lazy tensors, an answer that comes too early) is too late: outputs are
where the judge poisoned them, some calls are drawn after the answer has come, their outputs copied at once into the
judge's own memory, and that copy is what is checked. What is left running is stopped where it is (SIGSTOP to every
process of the worker), and on a GPU the next turn does not begin before a copy of known duration takes as long as it
should, which it does not while kernels of another process run.

*Work before the request* is not possible: between turns the worker is stopped, and inputs are drawn only then. The same
holds for disturbing the other contestant while it has its turn.

*Remembering* gains nothing: no inputs come twice, so neither contents nor addresses tell what the output will be (the
addresses stay and the contents change: who goes by address is wrong). Replaying a recorded graph is legitimate, as it
computes on what is there. Skipping calls of a batch, or rows of a call, leaves poison or old values, and a call that is
checked cannot be told from one that is not.

*Less precision* than the dtype has exceeds the tolerance, as the truth is computed in float64.

*Too fast to be true* is noticed: a time below the device's ceilings (`Ceilings.least_seconds`) is reported as
impossible.

What remains: code that knows about the shared memory could write its results there itself and make the driver's copy do
nothing, which would save it the copy that everybody else pays. For kernels that move little else this is the largest
gain there is; the roofline contains the copy, so that the time would soon be impossible.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..cases.compare import Mismatch, compare
from ..wall.isolation import Isolation
from ..wall.walled import WalledSubmission
from ..wall.worker_start import Limits
from ..worker.loader import Layout
from ..worker.shared_memory import ALIGNMENT, SharedMemory, make_shared_memory
from .devices import Device
from .race import Drawn, Race
from .statistics import Taken

_CALL_LIMIT_S = {"cpu": 60.0, "cuda": 300.0}  # a kernel that tunes itself compiles many others first
_MEMORY_MIB = {"cpu": 4096, "cuda": 65_536}  # the CUDA driver maps much that it never uses
MOST_CHECKED = 4
"""Calls of one turn that are checked."""


class WrongAnswer(Exception):
    """A timed call gave something else than it should; the message is for a student."""


class Contestant:
    """One contestant. Use it as a context manager."""

    def __init__(
        self, layout: Layout, isolation: Isolation, device: Device, shared_bytes: int, scratch: Path | None = None
    ) -> None:
        self.device = device
        self.shared_memory: SharedMemory = make_shared_memory(shared_bytes, device.name)
        self.submission = WalledSubmission(
            layout,
            Limits(call_s=_CALL_LIMIT_S[device.name], memory_mib=_MEMORY_MIB[device.name]),
            isolation,
            scratch,
            descriptors=(self.shared_memory.descriptor,),
            gpu=device.name == "cuda",
        )
        self._generation = -1
        self._handle = 0

    def __enter__(self) -> Contestant:
        return self

    def __exit__(self, *_: object) -> None:
        self.submission.resume()
        self.submission.close()
        self.shared_memory.close()

    def perform(self, operation: str, **arguments: Any) -> Any:
        """One request; the worker runs for as long as it takes, and is stopped before and after."""
        self.submission.resume()
        try:
            return self.submission.perform(operation, arguments)
        finally:
            self.submission.pause()

    def open(self) -> int:
        """The shared memory's handle in the worker, which is started first, and given the memory, where need be.

        Raises:
            Fault: when the submission cannot be imported.
        """
        self.submission.load()
        if self._generation != self.submission.generation:
            where = {
                "descriptor": self.shared_memory.descriptor,
                "size": self.shared_memory.size,
                "device": self.device.name,
            }
            self._handle = self.perform("timed_open", **where)
            self._generation = self.submission.generation
            self.device.settle(self.submission)
        return self._handle


class PreparedRace:
    """A race that one contestant is ready to run, on a number of slots.

    Raises:
        Fault: when the submission cannot.
    """

    def __init__(self, contestant: Contestant, race: Race, slots: int) -> None:
        self.contestant, self.race = contestant, race
        self._end = 0
        places = {name: self._place(given) for name, given in race.state.items()}
        slot_places: list[dict[str, Any]] = [
            {
                "inputs": {name: self._place(drawn) for name, drawn in race.inputs.items()},
                "outputs": [self._place(drawn) for drawn in race.outputs],
            }
            for _ in range(slots)
        ]
        self.state = {name: contestant.shared_memory.tensor(**place) for name, place in places.items()}
        self.inputs = [
            {name: contestant.shared_memory.tensor(**place) for name, place in slot["inputs"].items()}
            for slot in slot_places
        ]
        self.outputs = [[contestant.shared_memory.tensor(**place) for place in slot["outputs"]] for slot in slot_places]
        generator = torch.Generator(contestant.shared_memory.device).manual_seed(0)
        for name, given in race.state.items():
            if isinstance(given, Tensor):
                self.state[name].copy_(given)
            else:
                given.fill(self.state[name], generator)
        contestant.device.synchronize()
        self._subject = contestant.perform(
            "timed_prepare",
            shared_memory=contestant.open(),
            subjects=list(race.subjects),
            state=places,
            slots=slot_places,
        )
        self._chance = secrets.SystemRandom()
        self._judge = torch.Generator(contestant.shared_memory.device).manual_seed(secrets.randbits(62))

    def _place(self, given: Drawn | Tensor) -> dict[str, Any]:
        dtype = str(given.dtype).removeprefix("torch.")
        shape = list(given.shape)
        place = {"offset": self._end, "dtype": dtype, "shape": shape}
        size = given.nbytes
        self._end += -(-size // ALIGNMENT) * ALIGNMENT
        return place

    def turn(self, seed: int) -> Taken:
        """What one call on every slot takes, with the inputs of a seed.

        Raises:
            WrongAnswer: when a call that was drawn for the check is wrong.
            Fault: when the submission fails.
        """
        device = self.contestant.device
        generator = torch.Generator(self.contestant.shared_memory.device).manual_seed(seed)
        for inputs in self.inputs:
            for name, drawn in self.race.inputs.items():
                drawn.fill(inputs[name], generator)
        for outputs in self.outputs:
            for output in outputs:
                output.fill_(float("nan"))
        order = list(range(len(self.inputs)))
        random.Random(seed).shuffle(order)
        device.wait_until_quiet()
        device.flush()
        device.synchronize()

        submission = self.contestant.submission
        reading = device.begin(submission)
        began = time.perf_counter()
        submission.resume()
        submission.perform("timed_run", {"subject": self._subject, "order": order})
        answered = time.perf_counter()
        chosen = self._chance.sample(order, min(len(order), MOST_CHECKED))
        copies = {slot: [output.clone() for output in self.outputs[slot]] for slot in chosen}
        device.synchronize()
        submission.pause()
        seconds = device.seconds_since(reading, submission, answered)
        for slot, outputs in copies.items():
            self._check(self.inputs[slot], outputs)
        return Taken(seconds, answered - began)

    def _check(self, inputs: Mapping[str, Tensor], outputs: list[Tensor]) -> None:
        race = self.race
        rows = race.rows(self._judge, self.contestant.shared_memory.device)
        truths = race.truth(inputs, self.state, rows)
        for i, (truth, output) in enumerate(zip(truths, outputs, strict=True)):
            unwritten = int(torch.isnan(output).sum())
            if unwritten:
                raise WrongAnswer(
                    f"{race.tensors}: when the call had returned, {unwritten:,} of {output.numel():,} values of its "
                    "result were not there, or not a number."
                )
            found = output[rows] if race.first else output
            try:
                compare(truth.to(output.dtype), found, race.tolerance, f"result {i + 1}")
            except Mismatch as mismatch:
                raise WrongAnswer(f"{race.tensors}: a timed call was wrong. {mismatch.message}") from None

    def release(self) -> None:
        """Forget the race."""
        self.contestant.perform("timed_release", subject=self._subject)
