"""The grader's processes for tests of it: like any other, without the seconds that starting one takes.

Nearly all of the time of a new examiner or worker goes into importing PyTorch. A fork of the process that runs the
tests has it imported already. A forked worker then forgets whatever a worker has not got, above all the grader's own
modules, and runs `worker/serve.py` from its first line, so that all it does to itself and to a submission is real.

What a fork cannot show: it has the hash seed and the memory of its parent. Tests of what a submission can find in its
process, or of processes as such, start real ones (`REAL_PROCESSES = True` in their module).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import linecache
import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import pytest
import torch

from grader import __main__ as kit_main
from grader.examination import child_process, examiner
from grader.kit.paths import KIT, WORKER
from grader.wall import worker_start

_SERVE = str(WORKER / "serve.py")
_PR_SET_DUMPABLE = 4
_POLL_S = 0.002
_STAY = frozenset({"msgpack", "numpy", "torch", "torchgen", "tqdm", "typing_extensions", "triton"})
"""What every worker imports, and Triton, which no process can import twice."""

_KEPT: list[types.ModuleType] = []
"""What a forked worker has forgotten: were it freed, it would tidy up after itself, in folders of its parent."""


@contextlib.contextmanager
def forks_for_processes() -> Iterator[None]:
    """Meanwhile, examiners and workers that start in this process are forks of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_start, "start_process", start_worker)
        patch.setattr(child_process, "start", start_examiner)
        yield


# ------------------------------------------------------------------------------------------------------------
# The command line


def run_grader(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `python -m grader ARGUMENTS` does in the kit's folder: its exit code, and what it writes.

    Args:
        environment: what differs from this process' own.
    """
    command = [str(Path(kit_main.__file__ or "")), *map(str, arguments)]
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        pid = os.fork()
        if pid == 0:
            _grade(command, stdout.fileno(), stderr.fileno(), environment)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        written = []
        for file in (stdout, stderr):
            file.seek(0)
            written.append(file.read().decode("utf-8"))
    return subprocess.CompletedProcess(command, code, *written)


def _grade(command: list[str], stdout: int, stderr: int, environment: dict[str, str]) -> NoReturn:
    def carry_out() -> int:
        os.environ.update(environment)
        os.chdir(KIT)
        sys.argv[:] = command
        return kit_main.main()

    _become({0: os.open(os.devnull, os.O_RDONLY), 1: stdout, 2: stderr}, set(), carry_out)


# ------------------------------------------------------------------------------------------------------------
# Examiners


class ForkedExaminer:
    """An examiner that starts as a fork of this process."""

    def __init__(self, stderr: IO[bytes]) -> None:
        order, report = os.pipe(), os.pipe()
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(order[0], 0)
            os.dup2(report[1], 1)
            os.dup2(stderr.fileno(), 2)
            for descriptor in (*order, *report):
                os.close(descriptor)  # or it would hold open what its own order comes through
            _examine()
        os.close(order[0])
        os.close(report[1])
        self.stdin: IO[str] = os.fdopen(order[1], "w")
        self.stdout: IO[str] = os.fdopen(report[0], "r")

    def kill(self) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code, also where it was waited for before, as `subprocess` has it."""
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code


def start_examiner(module: str, stderr: IO[bytes] | int, *, apart: bool = False) -> Any:
    """As `child_process.start`; what is no examiner, or stands apart from this process, is started as it always is."""
    if module != "grader.examination.examiner" or apart or isinstance(stderr, int):
        return _start_for_real(module, stderr, apart=apart)
    return ForkedExaminer(stderr)


_start_for_real = child_process.start


def _examine() -> NoReturn:
    """What `python -m grader.examination.examiner` does, in a process that is a copy of this one."""
    torch.set_num_threads(1)  # the threads of the original are not in the copy
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.chdir(KIT)
    sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb", closefd=False))
    code = 1
    try:
        code = examiner.main()
    finally:
        os._exit(code)


# ------------------------------------------------------------------------------------------------------------
# Workers


class ForkedWorker:
    """A worker that starts as a fork of this process, with what the judge asks of a `subprocess.Popen`."""

    def __init__(
        self, arguments: Sequence[str], pass_fds: Sequence[int], directory: str, environment: dict[str, str]
    ) -> None:
        ours, theirs = os.pipe()
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _serve(arguments, {*pass_fds}, theirs, directory, environment)
        os.close(theirs)
        self.stdout: IO[bytes] = os.fdopen(ours, "rb", buffering=0)

    def poll(self) -> int | None:
        """The exit code, if it has ended; 0 where somebody else has collected that, as `subprocess` has it."""
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self._code = 0
            else:
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout: float = math.inf) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a forked worker", timeout)
            time.sleep(_POLL_S)
        return code


def start_worker(command: Sequence[str], **options: Any) -> Any:
    """As `worker_start.start_process`; what a fork cannot be (another Python, another root) is started for real."""
    python, *flags, script, channel, order = command
    is_plain = python == sys.executable and flags == ["-I", "-B", "-X", "utf8"] and script == _SERVE
    if not is_plain:
        return _start_worker_for_real(command, **options)
    return ForkedWorker([script, channel, order], options["pass_fds"], options["cwd"], options["env"])


_start_worker_for_real = worker_start.start_process


def _serve(
    arguments: Sequence[str], passed: set[int], output: int, directory: str, environment: dict[str, str]
) -> NoReturn:
    """Be a worker: what `python serve.py CHANNEL ORDER` is, in a process that is a copy of this one."""

    def carry_out() -> int:
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
        _forget_the_judge()
        sys.argv[:] = arguments
        main = types.ModuleType("__main__")
        main.__file__ = arguments[0]
        sys.modules["__main__"] = main
        exec(compile(Path(arguments[0]).read_bytes(), arguments[0], "exec"), main.__dict__)
        return 0

    os.setsid()
    _become({0: os.open(os.devnull, os.O_RDONLY), 1: output, 2: output}, passed, carry_out)


def _become(streams: dict[int, int], passed: set[int], carry_out: Callable[[], int]) -> NoReturn:
    """End this process, which is a copy, as a program of its own that has these standard streams."""
    code = 1
    try:
        _take_signals_as_a_new_program()
        for number, descriptor in streams.items():
            os.dup2(descriptor, number)
        _close_all_but({*streams, *passed})
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            mode = "r" if number == 0 else "w"
            stream: IO[str] = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        sys.excepthook, sys.breakpointhook = sys.__excepthook__, sys.__breakpointhook__
        sys.displayhook, sys.unraisablehook = sys.__displayhook__, sys.__unraisablehook__
        sys.setprofile(None)
        sys.settrace(None)
        tempfile.tempdir = None  # the environment says where
        warnings.resetwarnings()
        logging.root.handlers.clear()
        logging.root.setLevel(logging.WARNING)
        np.random.seed(None)
        torch.set_num_threads(1)
        torch.set_grad_enabled(True)
        code = carry_out()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for output in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                output.flush()
        os._exit(code)


def _take_signals_as_a_new_program() -> None:
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _close_all_but(kept: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


def _forget_the_judge() -> None:
    """Leave what a Python has that has imported PyTorch and nothing else."""
    for name in list(sys.modules):
        package = name.partition(".")[0]
        if package not in _STAY and package not in sys.stdlib_module_names:
            _KEPT.append(sys.modules.pop(name))
    gc.freeze()  # and it is not to be found among the objects that there are
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:  # who shows a whole stack looks for the source of its bottom, too
        name = frame.f_code.co_filename
        linecache.cache[name] = (0, None, [], name)
        frame = frame.f_back
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder]
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() != KIT]
    sys.dont_write_bytecode = True
