"""A submission behind the wall, as tests talk to it: which calls are made, and what their answers mean.

A worker process (`worker_process.py`) is started on first use, and a new one after one that ended. Some calls are made
again (`repeated_calls.py`). What the worker says beside its answers is taken down and believed for no points.
"""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..submission.faults import (
    AdapterMissing,
    CallTimeout,
    ChannelBroken,
    Fault,
    NothingToAssess,
    StudentError,
    Todo,
    WorkerCrash,
    WrongResult,
)
from ..submission.files import Files
from ..submission.interface import Peak, Submission
from ..worker.lacking import lacks, python_needed, version
from ..worker.loader import Layout
from ..worker.operation_table import OPERATIONS, OWN_ADAPTERS
from .allowance import least_seconds
from .answer import Answer
from .isolation import Isolation, Level, import_path
from .other_versions import OtherVersions
from .own_environment import another_python
from .repeated_calls import Crosscheck, decoy, disagreement
from .worker_process import Gauge, WorkerProcess
from .worker_start import Limits, StartedWorker

_PING_S = 5.0
_SOURCE_BYTES = 1 << 20
_PROCESS = Isolation(Level.PROCESS)
_AHEAD = (
    *("torch", "numpy", "grader_worker.operations", "grader_worker.usage_monitor", "grader_worker.audit"),
    *("grader_worker.lacking", "grader_worker.stand_ins", "jaxtyping", "einops", "regex"),
)
"""What a worker imports before it knows of a submission, where there is time for that: what most of them import."""
_USUAL = Limits()


class WalledSubmission(Submission):
    """A submission behind the wall. Close it (or use it as a context manager) to end its process.

    Args:
        scratch: an existing folder for what its processes write, or None for the system's.
        descriptors: further descriptors of the judge's that its process inherits, under the same numbers.
        gpu: whether it may use the GPUs that this process may.
        started: its first worker, where that has been started already.
    """

    def __init__(
        self,
        layout: Layout,
        limits: Limits = _USUAL,
        isolation: Isolation = _PROCESS,
        scratch: Path | None = None,
        descriptors: tuple[int, ...] = (),
        gpu: bool = False,
        started: StartedWorker | None = None,
    ) -> None:
        super().__init__(Files(layout.root))
        self.layout = layout
        self.descriptors = descriptors
        self.gpu = gpu
        self.limits = limits
        self.isolation = isolation
        self.scratch = scratch
        self.call_limit_s = limits.call_s
        """Seconds for the next calls; the examiner sets it per problem."""
        self.charged_s = 0.0
        """Seconds that all calls so far were charged."""
        self.crosscheck: Crosscheck | None = None
        """Which calls are made again; none while there is none."""
        self._tampered = ""
        self._worker: WorkerProcess | None = None
        self._ahead = WorkerProcess(started) if started else None
        """A worker that has not been asked to load anything."""
        self._load_fault: Fault | None = None
        self._other_versions = OtherVersions(layout, self.files, self._look_up)

    def __enter__(self) -> WalledSubmission:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start a worker that has everything imported but the submission, which `load` then imports as it is by then.

        Only where `isolation.ahead` says that it may be done.
        """
        worker = self._new_worker()
        try:
            worker.ask("warm", {"modules": list(_AHEAD), "import_path": import_path(self.layout)}, self.limits.load_s)
            self._ahead = worker
        except Fault:  # the worker that `load` then starts will say what is wrong
            worker.close()

    def _new_worker(self) -> WorkerProcess:
        worker, self._ahead = self._ahead, None
        return worker or self._start(self.descriptors, self.gpu)

    def _start(self, descriptors: tuple[int, ...] = (), gpu: bool = False) -> WorkerProcess:
        started = StartedWorker(self.layout, self.limits, self.isolation, self.scratch, descriptors, gpu)
        return WorkerProcess(started)

    def load(self) -> None:
        """Start the worker and import the submission, unless that is done.

        Raises:
            Fault: when it cannot be imported; the same fault answers every later call.
        """
        if self._load_fault is not None:
            raise self._load_fault
        if self._worker is not None:
            return
        worker = self._new_worker()
        self.generation += 1
        try:
            worker.cell.bring_up_to_date()
            arguments = {
                "layout": worker.cell.layout.as_plain(),
                "import_path": import_path(self.layout),
                "hidden": [str(path) for path in worker.cell.hidden],
            }
            answer = worker.ask("load", arguments, self.limits.load_s)
            self._hear(answer)
            if answer.kind != "ok":
                raise self._lacking(answer, importing=True) or StudentError(answer.message, answer.traceback)
            self.own_adapters, stood_in = _loaded(answer.value)
            for name, (message, trace) in stood_in.items():
                if not self._other_versions.need(name):
                    raise StudentError(message, trace)
        except Fault as fault:
            self._note_forgery(fault)
            worker.close()
            self._load_fault = fault
            if isinstance(fault, CallTimeout):
                self._load_fault = CallTimeout(
                    f"importing {self.layout.adapters} took longer than {self.limits.load_s:g} s{fault.meanwhile}.",
                    fault.detail,
                    fault.meanwhile,
                )
            raise self._load_fault from None
        self._worker = worker

    def perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Run one operation, and some of them once more (see `repeated_calls.py`).

        Raises:
            Fault: when it gives no value, or no longer the same one.
        """
        start = time.monotonic()
        value = super().perform(operation, arguments)
        if self.crosscheck is not None and self.crosscheck.is_due(operation, time.monotonic() - start):
            other = decoy(operation, arguments) if self.crosscheck.wants_decoy(operation) else None
            to_decoy = None if other is None else self._answer(operation, other, "keep")
            again = self._answer(operation, arguments, "fill")
            if message := disagreement(operation, value, again, to_decoy):
                self.noticed.append({"kind": "answers", "evidence": message, "where": ""})
                raise WrongResult(message)
        return value

    def timed(self, operation: str, arguments: dict[str, Any]) -> tuple[Any, float]:
        """As for every submission; starting the worker and importing the code is no part of the time."""
        self.load()
        value, seconds = super().timed(operation, arguments)
        return value, least_seconds(seconds, self._worker.charged_s if self._worker is not None else 0.0)

    def _answer(self, operation: str, arguments: dict[str, Any], buffers: str) -> Any:
        """The value of a call that is made beside those of the tests, or the fault that it ended with."""
        try:
            return self._perform(operation, arguments, buffers)
        except (CallTimeout, WorkerCrash):
            raise
        except Fault as fault:
            return fault

    def _record(self, operation: str, arguments: dict[str, Any]) -> Any:
        self.load()
        self._refuse_tampered()
        assert self._worker is not None
        try:
            answer = self._worker.ask("record", {"operation": operation, "arguments": arguments}, self.call_limit_s)
        except (CallTimeout, WorkerCrash):
            self.close()
            raise
        return answer.value

    def _perform(self, operation: str, arguments: dict[str, Any], buffers: str = "new") -> Any:
        self.load()
        self._refuse_tampered()
        assert self._worker is not None
        try:
            answer = self._worker.ask(operation, arguments, self.call_limit_s, buffers)
        except (CallTimeout, WorkerCrash) as fault:
            self._note_forgery(fault)
            self.charged_s += self._worker.charged_s
            self.close()
            raise
        self.charged_s += self._worker.charged_s
        self._hear(answer)
        self._refuse_tampered()
        match answer.kind:
            case "ok":
                return answer.value
            case "todo":
                raise Todo(answer.message)
            case "not_provided":
                raise AdapterMissing(answer.message)
            case "nothing_seen" if OPERATIONS[operation].may_show_nothing:
                raise NothingToAssess(answer.message)
            case "not_plain" | "broken":
                raise WrongResult(answer.message)
            case _:
                raise self._lacking(answer) or StudentError(answer.message, answer.traceback, answer.type_name)

    def _lacking(self, answer: Answer, importing: bool = False) -> Fault | None:
        """The fault for an exception that only says what this machine lacks: no statement about the code.

        What the worker names is looked up here: see `worker/lacking.py` on what a submission could still make of it.
        """
        detail = "\n".join(filter(None, [answer.message, answer.traceback]))
        if lacks(answer.package, self.layout, import_path(self.layout)):
            return NothingToAssess(f"needs the package {answer.package!r}, which is not installed here", detail)
        if answer.missing_name and (need := self._other_versions.need(answer.missing_name)):
            return NothingToAssess(need, detail)
        have = self.layout.environment.version if self.layout.environment else platform.python_version()
        subject, asked = answer.newer, self.layout.requires_python
        if needed := python_needed(subject, self._source, version(have)):
            since = f"Python {needed[0]}.{needed[1]}"
            is_file = subject.endswith(".py")
            lack = f"{subject} is written for {since} or later" if is_file else f"{subject} exists from {since} on"
        elif importing and (needed := another_python(asked, have)):
            lack = f"the code asks for Python {asked} and cannot be imported by another"
        else:
            return None
        wanted = f"{needed[0]}.{needed[1]}"
        return NothingToAssess(
            f"{lack}; this is Python {have}: grade it with `python{wanted} -m grader`, or with `--environment own` "
            f"where uv finds a Python {wanted}",
            detail,
        )

    def _look_up(self, module: str, name: str) -> Any:
        """Ask a worker that loads no submission what an installed package has: see `other_versions.py`."""
        worker = self._start()
        try:
            arguments = {"module": module, "name": name, "import_path": import_path(self.layout)}
            return worker.ask("look_up", arguments, self.limits.load_s).value
        except (CallTimeout, WorkerCrash):
            return None
        finally:
            worker.close()

    def _source(self, path: str) -> str:
        """The text of one of the submission's files, as `worker.lacking.python_needed` reads it."""
        try:
            return self.files.read_text(path, _SOURCE_BYTES)
        except Fault as fault:
            raise ValueError(fault.message) from fault

    def _hear(self, answer: Answer) -> None:
        """Take down what the worker says beside its answer."""
        self.uses_seen += answer.uses_seen
        self.noticed += answer.noticed
        tampered = (remark.get("evidence", "") for remark in answer.noticed if remark.get("kind") == "tampered")
        self._tampered = next(tampered, self._tampered)

    def _refuse_tampered(self) -> None:
        if self._tampered:
            raise WrongResult(
                f"The grader accepts no further answer from this process: {self._tampered}, which is the grader's code."
            )

    def _note_forgery(self, fault: Fault) -> None:
        if isinstance(fault, ChannelBroken):
            self.noticed.append({"kind": "channel", "evidence": fault.message, "where": ""})

    def end_leftovers(self) -> None:
        """Begin anew if the calls so far have left something that would burden whatever comes next.

        That is a process that still runs, or a worker that does not answer any more.
        """
        if self._worker is None:
            return
        if self._worker.has_company():
            self.close()
            return
        try:
            self._worker.ask("ping", {}, _PING_S)
        except (CallTimeout, WorkerCrash):
            self.close()

    def pause(self) -> None:
        """Stop its processes where they are, so that nothing of it runs until `resume`."""
        if self._worker is not None:
            self._worker.pause()

    def resume(self) -> None:
        """Let its processes go on."""
        if self._worker is not None:
            self._worker.resume()

    def pin(self, cpu: int) -> None:
        """Have its processes run on one CPU only (Linux)."""
        if self._worker is not None:
            self._worker.pin(cpu)

    def cpu_seconds(self) -> float:
        """Processor time that its processes have used; exact while they are paused."""
        return self._worker.cpu_seconds() if self._worker is not None else 0.0

    @contextlib.contextmanager
    def measuring_memory(self) -> Iterator[Peak]:
        """As the kernel has it, looked at many times a second; nothing is asked of the processes themselves."""
        peak = Peak()
        if self._worker is None or sys.platform != "linux":
            yield peak
            return
        gauge = Gauge(self._worker.resident)
        try:
            yield peak
        finally:
            peak.bytes = gauge.stop()

    def peak_memory(self) -> int:
        """Bytes that its processes had in memory when they had most, as the kernel counts them."""
        return self._worker.peak_memory() if self._worker is not None else 0

    def close(self) -> None:
        """End the worker and everything it started; what it kept is gone with it."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
        if self._worker is not None:
            self.generation += 1
            self._worker.close()
            self._worker = None


def _loaded(said: Any) -> tuple[tuple[str, ...], dict[str, tuple[str, str]]]:
    """What a worker says that has imported a submission.

    Gives the adapters beyond the public assignment's, as far as there are such, and the names that a placeholder
    stands in for, each with the message and the traceback of the import that failed for it.
    """
    try:
        named = {name for name in said["own_adapters"] if type(name) is str}
        told = {name: (fields["message"], fields["traceback"]) for name, fields in said["stood_in"].items()}
    except (TypeError, KeyError, AttributeError):
        return (), {}
    return tuple(sorted(OWN_ADAPTERS & named)), {str(name): (str(a), str(b)) for name, (a, b) in told.items()}
