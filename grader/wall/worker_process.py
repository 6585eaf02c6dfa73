"""The process that a submission runs in, once it is started (`worker_start.py`): asked, watched, stopped and ended.

The worker (`worker/serve.py`) is a process of its own session, with a private scratch folder, a clean environment and
no descriptor of the judge's but one end of a socket. Requests and answers are plain data. The judge decides how long
a call may take, and ends the whole process group when it takes longer.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..escape import visible
from ..submission.faults import CallTimeout, ChannelBroken, WorkerCrash
from ..worker import wire
from . import processes
from .allowance import Allowance, Spent
from .answer import Answer, read_answer
from .isolation import Cell, Level
from .worker_start import Limits, StartedWorker

_OUTPUT_KEPT = 1 << 14
_OUTPUT_SHOWN = 4096
_PLACE_LIMIT = 300
_WATCH_S = 0.5
_GAUGE_S = 0.02
_STACK_WITHIN_S = 0.5
_STACK_FRAMES = 3
_STACK_HEADER = b"Stack (most recent call first):"
_MIB = 1 << 20

_COMPILERS = frozenset(
    {
        *("cc", "c++", "gcc", "g++", "cc1", "cc1plus", "as", "ld", "collect2", "lto1", "clang", "clang++", "lld"),
        *("ninja", "make", "cmake", "nvcc", "cicc", "ptxas", "cudafe++", "rustc", "cargo"),
    }
)
"""What a compiler's processes are called."""


class WorkerProcess:
    """One worker process, with its cell and whatever it starts."""

    _at_work: ClassVar[set[int]] = set()

    def __init__(self, started: StartedWorker) -> None:
        self.limits = started.limits
        self.charged_s = 0.0
        """Seconds that the last request was charged."""
        self._may_compile = True
        self._loaded = False
        self._python: int | None = None
        self.cell = started.cell
        self._paused: frozenset[int] = frozenset()
        self._channel, self._process = started.channel, started.process
        self._at_work.add(self._process.pid)
        self._output = _Tail(self._process)
        self._watch = _Watch(self.cell, self.limits, self._others, self._end)

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
                raise wire.TooLarge(f"a result of {size:,} bytes; at most {most:,} are accepted")
            answer = read_answer(self._receive(size, allowance), token)
            self._loaded = True
            return answer
        except Spent:
            raise self._timeout(operation, allowance) from None
        except (EOFError, OSError):
            raise WorkerCrash(self._obituary(operation), self._output.describe()) from None
        except (wire.TooLarge, MemoryError) as error:
            what = error if isinstance(error, wire.TooLarge) else "a result that does not fit into memory"
            raise WorkerCrash(f"{operation} returned too much: {what}.") from None
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


def _frames_of_submission(stack: str, root: str) -> str:
    """`softmax (nn.py:12), called by run_softmax (adapters.py:30)`, from what faulthandler writes, if it does."""
    found = re.findall(r'^  File "([^"\n]+)", line (\d+) in (.+)$', stack, re.MULTILINE)
    places = dict.fromkeys(
        f"{name} ({os.path.relpath(file, root)}:{line})"
        for file, line, name in found
        if file.startswith(root.rstrip(os.sep) + os.sep) and "site-packages" not in file
    )
    return visible(", called by ".join(list(places)[:_STACK_FRAMES]))[:_PLACE_LIMIT]


def _in_words(allowance: Allowance) -> str:
    """How the limit was applied on a machine that is busy or slow."""
    return (
        f"It was allowed {allowance.allowed_s:.3g} s on this machine, and was charged {allowance.charged_s():.3g} s of "
        f"{allowance.elapsed_s:.3g} s on the clock. Time in which other programs had the processor is not charged."
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
            return f"it ran {len(running)} processes at once; at most {self._limits.processes} are allowed"
        most = 2 * self._limits.memory_mib * _MIB
        if sum(process.resident for process in running) > most:
            used = sum(processes.share_of_memory(process.pid) for process in running)
            if used > most:
                return (
                    f"its processes used {used // _MIB:,} MiB of memory together; at most {most // _MIB:,} are allowed"
                )
        size, entries = self._cell.scratch.usage(self._limits.files)
        size += processes.unlinked_bytes(process.pid for process in running)
        if size > self._limits.disk_mib * _MIB:
            return f"it wrote {size // _MIB:,} MiB of files; at most {self._limits.disk_mib:,} are allowed"
        if entries > self._limits.files:
            return f"it wrote more than {self._limits.files:,} files"
        return ""

    def stop(self) -> None:
        self._stopped.set()
        self.join()


class Gauge(threading.Thread):
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
        return f"The last thing it printed:\n{text}" if text else ""

    def close(self) -> None:
        self.join(timeout=1)
        self._stream.close()
