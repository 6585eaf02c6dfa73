"""The judge's side of the wall: a worker process that runs a submission, and the judge's clock beside it.

The worker (`worker/serve.py`) is a process of its own session, with a private scratch folder, a clean environment and
no descriptor of the judge's but one end of a socket. Requests and answers are plain data. The judge decides how long
a call may take, ends the whole process group when it takes longer, and starts a new worker for the next call.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..escape import visible
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
from ..worker import wire
from ..worker.lacking import lacks, python_needed, version
from ..worker.loader import Layout
from ..worker.operation_table import OPERATIONS, OWN_ADAPTERS
from . import processes
from .allowance import Allowance, Spent, least_seconds
from .isolation import Cell, Isolation, Level, import_path
from .own_environment import another_python
from .repeated_calls import Crosscheck, complaint, decoy

_OUTPUT_KEPT = 1 << 14
_OUTPUT_SHOWN = 4096
_TEXT_LIMIT = 4000
_REMARKS_KEPT = 20
_REMARK_FIELDS = 3
_USES_KEPT = 600
_REMARK_LIMIT = 300
_WATCH_S = 0.5
_GAUGE_S = 0.02
_PING_S = 5.0
_SOURCE_BYTES = 1 << 20
_STACK_WITHIN_S = 0.5
_STACK_FRAMES = 3
_STACK_HEADER = b"Stack (most recent call first):"
_MIB = 1 << 20
_PROCESS = Isolation(Level.PROCESS)

_COMPILERS = frozenset(
    {
        *("cc", "c++", "gcc", "g++", "cc1", "cc1plus", "as", "ld", "collect2", "lto1", "clang", "clang++", "lld"),
        *("ninja", "make", "cmake", "nvcc", "cicc", "ptxas", "cudafe++", "rustc", "cargo"),
    }
)
"""What a compiler's processes are called."""


@dataclass(frozen=True)
class Limits:
    """What the judge allows a submission.

    call_s: seconds for one call; load_s: seconds to import it, and for compilers that its calls start, once for each
    process (both as `allowance.py` charges them); memory_mib: private memory of each process, in MiB (all
    of them together may have twice as much); disk_mib, files: what it may write; processes: how many may run at once;
    answer_mib: size of one result.
    """

    call_s: float = 10.0
    load_s: float = 60.0
    memory_mib: int = 4096
    disk_mib: int = 4096
    files: int = 20_000
    processes: int = max(128, 4 * (os.cpu_count() or 1))
    answer_mib: int = 64


class WalledSubmission(Submission):
    """A submission behind the wall. Close it (or use it as a context manager) to end its process.

    Args:
        scratch: an existing folder for what its processes write, or None for the system's.
        descriptors: further descriptors of the judge's that its process inherits, under the same numbers.
        gpu: whether it may use the GPUs that this process may.
    """

    def __init__(
        self,
        layout: Layout,
        limits: Limits = Limits(),
        isolation: Isolation = _PROCESS,
        scratch: Path | None = None,
        descriptors: tuple[int, ...] = (),
        gpu: bool = False,
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
        self._warm: set[str] = set()
        self._tampered = ""
        self._worker: _Worker | None = None
        self._load_fault: Fault | None = None

    def __enter__(self) -> WalledSubmission:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self) -> None:
        """Start the worker and import the submission, unless that is done.

        Raises:
            Fault: when it cannot be imported; the same fault answers every later call.
        """
        if self._load_fault is not None:
            raise self._load_fault
        if self._worker is not None:
            return
        worker = _Worker(self.layout, self.limits, self.isolation, self.scratch, self.descriptors, self.gpu)
        self.generation += 1
        try:
            arguments = {
                "layout": worker.cell.layout.as_plain(),
                "import_path": import_path(self.layout),
                "hidden": [str(path) for path in worker.cell.hidden],
            }
            if self._warm:
                worker.ask("warm", {"modules": sorted(self._warm)}, self.limits.load_s)
            answer = worker.ask("load", arguments, self.limits.load_s)
            self._hear(answer)
            if answer.kind != "ok":
                raise self._lacking(answer, importing=True) or StudentError(answer.message, answer.traceback)
            self.own_adapters = _own_adapters(answer.value)
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
            if message := complaint(operation, value, again, to_decoy):
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

    def _source(self, path: str) -> str:
        """The text of one of the submission's files, as `worker.lacking.python_needed` reads it."""
        try:
            return self.files.read_text(path, _SOURCE_BYTES)
        except Fault as fault:
            raise ValueError(fault.message) from fault

    def warm_up(self, modules: Collection[str]) -> None:
        """Have these libraries imported before a call is timed, in this worker and in those that replace it."""
        new = set(modules) - self._warm
        self._warm |= new
        if new and self._worker is not None:
            try:
                self._worker.ask("warm", {"modules": sorted(new)}, self.limits.load_s)
            except (CallTimeout, WorkerCrash):
                self.close()  # a new one begins with it

    def _hear(self, answer: Answer) -> None:
        """Take down what the worker says beside its answer."""
        self.uses_seen += answer.uses_seen
        self.noticed += answer.noticed
        tampered = (remark.get("evidence", "") for remark in answer.noticed if remark.get("kind") == "tampered")
        self._tampered = next(tampered, self._tampered)

    def _refuse_tampered(self) -> None:
        if self._tampered:
            raise WrongResult(f"No answer is taken from this process any more: {self._tampered}, code of the grader's.")

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
        gauge = _Gauge(self._worker.resident)
        try:
            yield peak
        finally:
            peak.bytes = gauge.stop()

    def peak_memory(self) -> int:
        """Bytes that its processes had in memory when they had most, as the kernel counts them."""
        return self._worker.peak_memory() if self._worker is not None else 0

    def close(self) -> None:
        """End the worker and everything it started; what it kept is gone with it."""
        if self._worker is not None:
            self.generation += 1
            self._worker.close()
            self._worker = None


def _own_adapters(said: Any) -> tuple[str, ...]:
    """The adapters beyond the public assignment's that the worker says it has, as far as there are such."""
    named = {name for name in said if type(name) is str} if type(said) is list else set()
    return tuple(sorted(OWN_ADAPTERS & named))


class _Worker:
    """One worker process, with its cell and whatever it starts."""

    _at_work: ClassVar[set[int]] = set()

    def __init__(
        self,
        layout: Layout,
        limits: Limits,
        isolation: Isolation,
        scratch: Path | None,
        descriptors: tuple[int, ...],
        gpu: bool,
    ) -> None:
        self.limits = limits
        self.charged_s = 0.0
        """Seconds that the last request was charged."""
        self._may_compile = True
        self._loaded = False
        self._python: int | None = None
        self.cell = Cell(layout, isolation, scratch, gpu)
        self._paused: frozenset[int] = frozenset()
        ours, theirs = socket.socketpair()
        self._channel = ours
        order = {
            "memory_mib": limits.memory_mib,
            "processes": limits.processes if isolation.level is Level.BUBBLEWRAP else None,
            "landlock": self.cell.landlock(),
            "user": self.cell.user(),
        }
        with theirs:
            self._process = subprocess.Popen(
                self.cell.worker_command(theirs.fileno(), json.dumps(order)),
                pass_fds=(theirs.fileno(), *self.cell.descriptors, *descriptors),
                cwd=self.cell.directory,
                env=self.cell.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._at_work.add(self._process.pid)
        self._output = _Tail(self._process)
        self._watch = _Watch(self.cell, limits, self._others, self._end)

    def ask(self, operation: str, arguments: dict[str, Any], limit_s: float, buffers: str = "new") -> Answer:
        """Send one request and wait for its answer; `buffers` is explained in `worker/serve.py`.

        Raises:
            CallTimeout: no complete answer within `limit_s` seconds, as `allowance.py` charges them.
            WorkerCrash: the process ended, or sent something that is no answer or too large.
        """
        token = int.from_bytes(os.urandom(7))
        body = wire.encode({"id": token, "operation": operation, "arguments": arguments, "buffers": buffers})
        most = self.limits.answer_mib * _MIB
        allowance = Allowance(limit_s, self._usage, self._time_to_compile, wait=self._main_thread_waited)
        try:
            self._send(wire.LENGTH.pack(len(body)) + body, allowance)
            (size,) = wire.LENGTH.unpack(self._receive(wire.LENGTH.size, allowance))
            if size > most:
                raise wire.TooLarge(f"a result of {size:,} bytes, where {most:,} are accepted")
            answer = read_answer(self._receive(size, allowance), token)
            self._loaded = True
            return answer
        except Spent:
            raise self._timeout(operation, allowance) from None
        except (EOFError, OSError):
            raise WorkerCrash(self._obituary(operation), self._output.describe()) from None
        except (wire.TooLarge, MemoryError) as error:
            what = error if isinstance(error, wire.TooLarge) else "a result for which there is not enough memory"
            raise WorkerCrash(f"{operation} gave too much: {what}.") from None
        except wire.WireError as error:
            raise ChannelBroken(f"{operation} broke the channel to the judge: {error}.") from None
        finally:
            self.charged_s = allowance.charged_s()

    def _send(self, message: bytes, allowance: Allowance) -> None:
        rest = memoryview(message)
        while rest:
            self._channel.settimeout(allowance.next_look_s())
            with contextlib.suppress(TimeoutError):
                rest = rest[self._channel.send(rest) :]

    def _receive(self, size: int, allowance: Allowance) -> bytearray:
        buffer = bytearray()
        while len(buffer) < size:
            self._channel.settimeout(allowance.next_look_s())
            with contextlib.suppress(TimeoutError):
                part = self._channel.recv(min(size - len(buffer), 1 << 20))
                if not part:
                    raise EOFError
                buffer += part
        return buffer

    def _usage(self) -> processes.Usage:
        return processes.usage(process.pid for process in processes.started_here(self._others()))

    def _main_thread_waited(self) -> float:
        if self._python is None and self._loaded:
            self._python = self._python_of(processes.started_here(self._others()))
        return processes.waited_s(self._python) if self._python is not None else 0.0

    def _time_to_compile(self) -> float:
        """Seconds more for a call whose compiler is at work, once: what is compiled in a call may be so at import."""
        if not self._may_compile or not _COMPILERS & set(self._at_work_now().values()):
            return 0.0
        self._may_compile = False
        return self.limits.load_s

    def _at_work_now(self) -> dict[int, str]:
        """{process: program} of what the worker has started, itself left out."""
        running = processes.started_here(self._others())
        own = {self._process.pid, self._python_of(running)}
        if self.cell.isolation.level is Level.BUBBLEWRAP:
            own |= {process.pid for process in running if process.parent == self._process.pid}
        return processes.names(process.pid for process in running if process.pid not in own and not process.zombie)

    def _python_of(self, running: Sequence[processes.Process]) -> int:
        """The worker itself: what was started, or below bubblewrap's two processes the first that there was."""
        if self.cell.isolation.level is not Level.BUBBLEWRAP:
            return self._process.pid
        inner = {process.pid for process in running if process.parent == self._process.pid}
        return min((process.pid for process in running if process.parent in inner), default=self._process.pid)

    def _timeout(self, operation: str, allowance: Allowance) -> CallTimeout:
        """What a call did that took too long: for how long, where in the submission, beside which processes."""
        meanwhile = "" if self._may_compile else f", nor {self.limits.load_s:g} s later, after a compiler had run"
        if where := self._where():
            meanwhile += f"; it was in {where}"
        if programs := sorted(set(self._at_work_now().values())):
            meanwhile += f"; it had started {', '.join(programs[:4])}, still at work"
        detail = [self._output.describe()]
        if allowance.elapsed_s > 1.2 * allowance.limit_s:
            detail.insert(0, _in_words(allowance))
        message = f"{operation} did not return within {allowance.limit_s:g} s{visible(meanwhile)}."
        return CallTimeout(message, "\n".join(filter(None, detail)), visible(meanwhile))

    def _where(self) -> str:
        """The innermost frames of the submission's, as the worker shows them when it is asked by a signal."""
        worker = self._python_of(processes.started_here(self._others()))
        if worker == self._process.pid and self.cell.isolation.level is Level.BUBBLEWRAP:
            return ""
        before = self._output.received
        with contextlib.suppress(OSError):
            os.kill(worker, signal.SIGUSR1)  # see `worker/serve.py`
        deadline = time.monotonic() + _STACK_WITHIN_S
        while self._output.received == before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)  # for the rest of it
        return _frames_of_submission(self._output.take_stack(), self.cell.layout.root)

    def _obituary(self, operation: str) -> str:
        """How the process ended, in words."""
        if self._watch.excess:
            return f"{operation} was stopped: {self._watch.excess}."
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return f"{operation} closed the channel to the judge."
        if self.cell.isolation.level is Level.BUBBLEWRAP and code > 128:
            code = 128 - code  # as shells do, bubblewrap gives the signal in its own exit code
        if code >= 0:
            return f"{operation} ended the process (exit code {code}), as os._exit does."
        name = _signal_name(-code)
        reason = {
            "SIGSEGV": "a segmentation fault",
            "SIGKILL": "killed, as happens when memory runs out",
            "SIGABRT": "an abort in native code",
        }.get(name, "a signal")
        return f"{operation} ended the process: {reason} ({name})."

    def close(self) -> None:
        """End everything that runs and remove what it wrote."""
        self._watch.stop()
        self._end()
        self._process.wait()
        self._at_work.discard(self._process.pid)
        self._channel.close()
        self._output.close()
        self.cell.scratch.remove()

    def has_company(self) -> bool:
        """Whether more runs than the worker itself."""
        own = 3 if self.cell.isolation.level is Level.BUBBLEWRAP else 1  # it keeps a process on each side
        return sum(not process.zombie for process in processes.started_here(self._others())) > own

    def pause(self) -> None:
        self._paused = processes.pause(self._paused, self._others())

    def resume(self) -> None:
        processes.resume(self._paused)

    def pin(self, cpu: int) -> None:
        processes.pin((process.pid for process in processes.started_here(self._others())), cpu)

    def cpu_seconds(self) -> float:
        return processes.cpu_seconds(process.pid for process in processes.started_here(self._others()))

    def resident(self) -> int:
        return processes.resident(process.pid for process in processes.started_here(self._others()))

    def peak_memory(self) -> int:
        return processes.peak_resident(process.pid for process in processes.started_here(self._others()))

    def _others(self) -> set[int]:
        return self._at_work - {self._process.pid}

    def _end(self) -> None:
        processes.end(self._process.pid, self._others())


@dataclass(frozen=True)
class Answer:
    """An answer of a worker: of the form that it should have, and not believed beyond that.

    kind: "ok", or what the call ended with; value: plain data, for "ok"; message, traceback, type_name: texts about
    what it ended with; package, newer: what the machine may lack for it (see `worker/lacking.py`), or ""; uses_seen,
    noticed: what the worker saw meanwhile.
    """

    kind: str
    value: Any = None
    message: str = ""
    traceback: str = ""
    type_name: str = ""
    package: str = ""
    newer: str = ""
    uses_seen: list[dict[str, str]] = field(default_factory=list)
    noticed: list[dict[str, str]] = field(default_factory=list)


def read_answer(body: bytes | bytearray, token: int) -> Answer:
    """The answer to the request with this token; whoever runs beside the worker may have written it.

    Raises:
        wire.WireError: when it is none, for whatever reason, or too large.
    """
    try:
        fields = wire.decode(body)
        if type(fields) is not dict or not all(type(key) is str for key in fields):
            raise wire.WireError("an answer of another form")
        if type(fields.get("id")) is not int or fields["id"] != token:
            raise wire.WireError("an answer to no question")
        if fields.get("kind") == "ok" and "value" not in fields:
            raise wire.WireError("an answer without a value")
        return Answer(
            kind=_text(fields, "kind"),
            value=fields.get("value"),
            message=_text(fields, "message"),
            traceback=_text(fields, "traceback"),
            type_name=_text(fields, "type"),
            package=_text(fields, "package"),
            newer=_text(fields, "newer"),
            uses_seen=_remarks(fields.get("uses_seen", []), _USES_KEPT),
            noticed=_remarks(fields.get("noticed", [])),
        )
    except (wire.WireError, MemoryError):
        raise
    except Exception as error:  # nothing that a frame holds may end the judge
        raise wire.WireError(f"malformed answer: {type(error).__name__}: {error}") from error


def _text(fields: dict[str, Any], key: str) -> str:
    text = fields.get(key, "")
    if type(text) is not str:
        raise wire.WireError(f"an answer whose {key} is no text")
    return text[:_TEXT_LIMIT]


def _remarks(said: Any, most: int = _REMARKS_KEPT) -> list[dict[str, str]]:
    """What the worker says it saw. Texts may be cut; another form is nothing that a worker sends."""
    if type(said) is not list:
        raise wire.WireError("remarks that are no list")
    remarks = []
    for remark in said:
        if type(remark) is not dict or len(remark) > _REMARK_FIELDS:
            raise wire.WireError("a malformed remark")
        if not all(type(text) is str for pair in remark.items() for text in pair):
            raise wire.WireError("a remark that is no text")
        remarks.append({key[:_REMARK_LIMIT]: text[:_REMARK_LIMIT] for key, text in remark.items()})
    return remarks[:most]


def _frames_of_submission(stack: str, root: str) -> str:
    """`softmax (nn.py:12), called by run_softmax (adapters.py:30)`, from what faulthandler writes, if it does."""
    found = re.findall(r'^  File "([^"\n]+)", line (\d+) in (.+)$', stack, re.MULTILINE)
    places = dict.fromkeys(
        f"{name} ({os.path.relpath(file, root)}:{line})"
        for file, line, name in found
        if file.startswith(root.rstrip(os.sep) + os.sep) and "site-packages" not in file
    )
    return visible(", called by ".join(list(places)[:_STACK_FRAMES]))[:_REMARK_LIMIT]


def _in_words(allowance: Allowance) -> str:
    """How the limit was applied on a machine that is busy or slow."""
    return (
        f"It was allowed {allowance.allowed_s:.3g} s on this machine, and was charged {allowance.charged_s():.3g} s of "
        f"{allowance.elapsed_s:.3g} s on the clock: not those for which others had the processor."
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Watch(threading.Thread):
    """Looks twice a second at what the worker's processes use together, and ends them when it is too much.

    excess: what was too much, as words for a student; empty as long as nothing was.
    """

    def __init__(self, cell: Cell, limits: Limits, others: Callable[[], set[int]], end: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.excess = ""
        self._cell, self._limits, self._others, self._end = cell, limits, others, end
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopped.wait(_WATCH_S):
            self.excess = self._find_excess()
            if self.excess:
                self._end()
                return

    def _find_excess(self) -> str:
        running = processes.started_here(self._others())
        if len(running) > self._limits.processes:
            return f"it ran {len(running)} processes at once, where {self._limits.processes} are allowed"
        most = 2 * self._limits.memory_mib * _MIB
        if sum(process.resident for process in running) > most:
            used = sum(processes.share_of_memory(process.pid) for process in running)
            if used > most:
                return f"its processes used {used // _MIB:,} MiB of memory together, where {most // _MIB:,} are allowed"
        size, entries = self._cell.scratch.usage(self._limits.files)
        size += processes.unlinked_bytes(process.pid for process in running)
        if size > self._limits.disk_mib * _MIB:
            return f"it wrote {size // _MIB:,} MiB of files, where {self._limits.disk_mib:,} are allowed"
        if entries > self._limits.files:
            return f"it wrote more than {self._limits.files:,} files"
        return ""

    def stop(self) -> None:
        self._stopped.set()
        self.join()


class _Gauge(threading.Thread):
    """Reads a quantity again and again, and remembers the largest value."""

    def __init__(self, read: Callable[[], int]) -> None:
        super().__init__(daemon=True)
        self._read = read
        self._most = 0
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopped.wait(_GAUGE_S):
            self._most = max(self._most, self._read())

    def stop(self) -> int:
        """End, and give the largest value."""
        self._stopped.set()
        self.join()
        return max(self._most, self._read())


class _Tail(threading.Thread):
    """Reads what the worker prints for as long as it lives, and remembers the end of it.

    received: bytes so far.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        assert process.stdout is not None
        self._stream = process.stdout
        self._kept = b""
        self.received = 0
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while part := os.read(self._stream.fileno(), 1 << 16):
                self._kept = (self._kept + part)[-_OUTPUT_KEPT:]
                self.received += len(part)

    def take_stack(self) -> str:
        """The stack that the worker was asked to show, which is then no output any more; "" when there is none."""
        rest, found, stack = self._kept.rpartition(_STACK_HEADER)
        if found:
            self._kept = rest
        return stack.decode("utf-8", "replace") if found else ""

    def describe(self) -> str:
        """The last lines that the code printed, headed as such; empty when it printed nothing."""
        text = self._kept[-_OUTPUT_SHOWN:].decode("utf-8", "replace").strip()
        return f"The last it printed:\n{text}" if text else ""

    def close(self) -> None:
        self.join(timeout=1)
        self._stream.close()
