"""The judge's side of the wall: a worker process that runs a submission, and the judge's clock beside it.

The worker (`worker/serve.py`) is a process of its own session, with a private scratch folder, a clean environment and
no descriptor of the judge's but one end of a socket. Requests and answers are plain data. The judge decides how long
a call may take, ends the whole process group when it takes longer, and starts a new worker for the next call.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .faults import AdapterMissing, CallTimeout, Fault, StudentError, Todo, WorkerCrash, WrongResult
from .submission import Submission
from .worker import wire
from .worker.loader import Layout

_SERVE = Path(__file__).with_name("worker") / "serve.py"
_KIT = Path(__file__).resolve().parents[1]
_OUTPUT_KEPT = 4096
_USES_KEPT = 20
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")


@dataclass(frozen=True)
class Limits:
    """What the judge allows a submission.

    call_s: seconds for one call; load_s: seconds to import it; memory_mib: private memory of each process, in MiB.
    """

    call_s: float = 10.0
    load_s: float = 60.0
    memory_mib: int = 4096


class Behind(Submission):
    """A submission behind the wall. Close it (or use it as a context manager) to end its process."""

    def __init__(self, layout: Layout, limits: Limits = Limits()) -> None:
        super().__init__()
        self.layout = layout
        self.limits = limits
        self.call_limit_s = limits.call_s
        """Seconds for the next calls; the examiner sets it per problem."""
        self._worker: _Worker | None = None
        self._load_fault: Fault | None = None

    def __enter__(self) -> Behind:
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
        worker = _Worker(self.layout)
        self.generation += 1
        arguments = {
            "layout": self.layout.as_plain(),
            "import_path": _third_party_path(),
            "memory_mib": self.limits.memory_mib,
        }
        try:
            answer = worker.ask("load", arguments, self.limits.load_s)["value"]
            if not answer["loaded"]:
                raise StudentError(str(answer["message"]), str(answer["traceback"]))
        except Fault as fault:
            worker.close()
            self._load_fault = fault
            if isinstance(fault, CallTimeout):
                self._load_fault = CallTimeout(
                    f"importing {self.layout.adapters} took longer than {self.limits.load_s:g} s.",
                    fault.detail,
                )
            raise self._load_fault from None
        self._worker = worker

    def _perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        self.load()
        assert self._worker is not None
        try:
            answer = self._worker.ask(operation, arguments, self.call_limit_s)
        except (CallTimeout, WorkerCrash):
            self.close()
            raise
        self.witnessed += _uses(answer.get("witnessed"))
        match answer["kind"]:
            case "ok":
                return answer["value"]
            case "todo":
                raise Todo(_text(answer, "message"))
            case "not_provided":
                raise AdapterMissing(_text(answer, "message"))
            case "not_plain" | "broken":
                raise WrongResult(_text(answer, "message"))
            case _:
                raise StudentError(_text(answer, "message"), _text(answer, "traceback"), _text(answer, "type"))

    def close(self) -> None:
        """End the worker and everything it started; what it kept is gone with it."""
        if self._worker is not None:
            self.generation += 1
            self._worker.close()
            self._worker = None


def _text(answer: dict[str, Any], key: str) -> str:
    return str(answer.get(key, ""))


def _uses(witnessed: Any) -> list[dict[str, str]]:
    """What the worker says it saw of ready-made code, if it has the form that this should have."""
    return [
        use
        for use in (witnessed[:_USES_KEPT] if type(witnessed) is list else [])
        if type(use) is dict and len(use) <= 3 and all(type(text) is str and len(text) < 300 for text in use.values())
    ]


def _third_party_path() -> list[str]:
    """This process' import path without the kit itself and the working directory."""
    hidden = {_KIT, Path.cwd()}
    return [entry for entry in sys.path if entry and Path(entry).resolve() not in hidden]


class _Worker:
    """One worker process."""

    def __init__(self, layout: Layout) -> None:
        self._scratch = tempfile.mkdtemp(prefix="grader-")
        for name in ("home", "tmp"):
            Path(self._scratch, name).mkdir()
        ours, theirs = socket.socketpair()
        self._channel = ours
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-X", "utf8", str(_SERVE), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                cwd=layout.root,
                env=_environment(self._scratch),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._output = _Tail(self._process)

    def ask(self, operation: str, arguments: dict[str, Any], limit_s: float) -> dict[str, Any]:
        """Send one request and wait for its answer.

        Raises:
            CallTimeout: no complete answer within `limit_s` seconds.
            WorkerCrash: the process ended, or sent something that is no answer.
        """
        token = int.from_bytes(os.urandom(7))
        body = wire.encode({"id": token, "operation": operation, "arguments": arguments})
        deadline = time.monotonic() + limit_s
        try:
            self._channel.settimeout(limit_s)
            self._channel.sendall(wire.LENGTH.pack(len(body)) + body)
            (size,) = wire.LENGTH.unpack(self._receive(wire.LENGTH.size, deadline))
            if size > wire.MAX_MESSAGE_BYTES:
                raise wire.WireError(f"an answer of {size:,} bytes")
            answer = wire.decode(self._receive(size, deadline))
        except TimeoutError:
            raise CallTimeout(f"{operation} did not return within {limit_s:g} s.", self._output.describe()) from None
        except (EOFError, OSError):
            raise WorkerCrash(self._obituary(operation), self._output.describe()) from None
        except wire.WireError as error:
            raise WorkerCrash(f"{operation} broke the channel to the judge: {error}.") from None
        if not isinstance(answer, dict) or answer.get("id") != token or not isinstance(answer.get("kind"), str):
            raise WorkerCrash(f"{operation} broke the channel to the judge: an answer to no question.")
        return answer

    def _receive(self, size: int, deadline: float) -> bytearray:
        buffer = bytearray()
        while len(buffer) < size:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            self._channel.settimeout(remaining)
            part = self._channel.recv(min(size - len(buffer), 1 << 20))
            if not part:
                raise EOFError
            buffer += part
        return buffer

    def _obituary(self, operation: str) -> str:
        """How the process ended, in words."""
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return f"{operation} closed the channel to the judge."
        if code >= 0:
            return f"{operation} ended the process (exit code {code}), as os._exit does."
        name = signal.Signals(-code).name
        reason = {
            "SIGSEGV": "a segmentation fault",
            "SIGKILL": "killed, as happens when memory runs out",
            "SIGABRT": "an abort in native code",
        }.get(name, "a signal")
        return f"{operation} ended the process: {reason} ({name})."

    def close(self) -> None:
        """End the process group and remove what it wrote."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._channel.close()
        self._output.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _environment(scratch: str) -> dict[str, str]:
    """A clean environment: what programs need, nothing of the judge's, and quiet logging services."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **passed_on,
        "HOME": str(Path(scratch, "home")),
        "TMPDIR": str(Path(scratch, "tmp")),
        "LANG": "C.UTF-8",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",  # small calls are several times slower when threads wait for a busy machine
        "TOKENIZERS_PARALLELISM": "false",
        "WANDB_MODE": "disabled",
    }


class _Tail(threading.Thread):
    """Reads what the worker prints for as long as it lives, and remembers the end of it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        assert process.stdout is not None
        self._stream = process.stdout
        self._kept = b""
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while part := os.read(self._stream.fileno(), 1 << 16):
                self._kept = (self._kept + part)[-_OUTPUT_KEPT:]

    def describe(self) -> str:
        """The last lines that the code printed, headed as such; empty when it printed nothing."""
        text = self._kept.decode("utf-8", "replace").strip()
        return f"The last it printed:\n{text}" if text else ""

    def close(self) -> None:
        self.join(timeout=1)
        self._stream.close()
