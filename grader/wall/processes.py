"""The judge's hold over the processes that a submission starts (Linux; elsewhere there is only its process group).

A judge is a child subreaper: whatever a worker starts and abandons becomes the judge's own child instead of
disappearing among the processes of the machine. Workers live in sessions of their own, and no process can go back to
a session that it has left, so a descendant of the judge in another session than the judge's was started by a worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

if sys.platform != "win32":
    import resource

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_ROUNDS = 200


def become_undumpable() -> None:
    """Close this process' memory, environment and descriptors to other processes of the same user (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def let_orphans_go() -> None:
    """Undo `adopt_orphans`, for a program that shall outlive what started it, as an editor's window does (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def limit_own_memory(mib: int) -> None:
    """Cap this process' private memory, in MiB (Linux). What it starts may ask for more, or have less."""
    if sys.platform == "linux":
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        wanted = mib << 20
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))


@dataclass(frozen=True)
class Process:
    """One row of the process table. resident: bytes in memory, shared ones included."""

    pid: int
    parent: int
    session: int
    resident: int
    zombie: bool


def started_here(except_for: Set[int] = frozenset()) -> list[Process]:
    """What workers of this process have started: the workers, their descendants, and the orphans among those.

    Args:
        except_for: workers that are left out, with all of their descendants but the orphans.
    """
    here, session = os.getpid(), os.getsid(0)
    children: dict[int, list[Process]] = {}
    for process in _table():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [p for p in children.get(here, ()) if p.session != session and p.pid not in except_for]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting += children.get(process.pid, ())
    return found


def end(worker: int | None = None, others: Set[int] = frozenset()) -> bool:
    """End a worker with everything that it has started; gives whether nothing is left.

    Each process is stopped before any is killed, so that one which starts others as fast as it can stands still first.

    Args:
        worker: its process id, which is also its process group; None when only orphans may be left.
        others: the workers of this process that go on.
    """
    if worker is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker, signal.SIGKILL)
    if sys.platform != "linux":
        return True
    for _ in range(_ROUNDS):
        stopped: set[int] = set()
        while new := [p.pid for p in started_here(others) if not p.zombie and p.pid not in stopped]:
            for pid in new:
                _signal(pid, signal.SIGSTOP)
            stopped.update(new)
        for pid in stopped:
            _signal(pid, signal.SIGKILL)
        left = [p for p in started_here(others) if p.pid != worker]
        for process in left:
            _reap(process.pid)
        if not stopped and not left:
            return True
        time.sleep(0.002)
    return False


def pause(known: Iterable[int] = (), others: Set[int] = frozenset()) -> frozenset[int]:
    """Stop every process that workers have started, until `resume`; gives their ids (Linux).

    Args:
        known: those that ran when they were last looked for: they are stopped at once, before looking for new ones.
        others: the workers of this process that go on.
    """
    stopped = set(known)
    for pid in stopped:
        _signal(pid, signal.SIGSTOP)
    while new := [p.pid for p in started_here(others) if not p.zombie and p.pid not in stopped]:
        for pid in new:
            _signal(pid, signal.SIGSTOP)
        stopped.update(new)
    running = {process.pid for process in started_here(others)}
    resume(stopped - running)  # those have ended, and their numbers may be somebody else's by now
    return frozenset(stopped & running)


def resume(paused: Iterable[int]) -> None:
    """Let paused processes go on."""
    for pid in paused:
        _signal(pid, signal.SIGCONT)


def pin(pids: Iterable[int], cpu: int) -> None:
    """Let processes, with all of their threads and whatever they start, run on one CPU only."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), {cpu})


def resident(pids: Iterable[int]) -> int:
    """Bytes that these processes have in memory now, with what they share with others."""
    total, page = 0, os.sysconf("SC_PAGE_SIZE")
    for pid in pids:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/statm", "rb") as file:
            total += int(file.read().split()[1]) * page
    return total


def peak_resident(pids: Iterable[int]) -> int:
    """Bytes: the sum of what each of these processes had in memory when it had most."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
            total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith(b"VmHWM:"))
    return total


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time that these processes have used, with all of their threads, and with children that have ended.

    What lives is known to the nanosecond: Linux makes a clock of every process, whose number follows from the process
    id (clock_getcpuclockid(3)). What ended is known in ticks of the system.
    """
    total, tick = 0.0, os.sysconf("SC_CLK_TCK")
    for pid in pids:
        with contextlib.suppress(OSError):
            total += time.clock_gettime((~pid << 3) | 2)
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / tick
    return total


@dataclass(frozen=True)
class Usage:
    """What some processes have used of the machine so far.

    cpu_s: processor time; waits_s: {thread: seconds for which it was ready to run and had no processor}.
    """

    cpu_s: float
    waits_s: Mapping[int, float]

    def since(self, before: Usage) -> Usage:
        """What was used after `before`."""
        waits = {thread: wait - before.waits_s.get(thread, 0.0) for thread, wait in self.waits_s.items()}
        return Usage(max(0.0, self.cpu_s - before.cpu_s), waits)

    @property
    def longest_wait_s(self) -> float:
        """How long the thread waited that waited longest."""
        return max(self.waits_s.values(), default=0.0)


def usage(pids: Iterable[int]) -> Usage:
    """What these processes have used, as Linux counts it (sched-stats: the second number of /proc/PID/schedstat).

    A kernel that does not count says that nobody waited.
    """
    pids, waits = list(pids), {}
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as file:
                    waits[int(thread)] = int(file.read().split()[1]) * 1e-9
    return Usage(cpu_seconds(pids), waits)


def waited_s(pid: int) -> float:
    """How long the main thread of a process was ready to run and had no processor; 0 where that is not known."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/schedstat", "rb") as file:
        return int(file.read().split()[1]) * 1e-9
    return 0.0


def names(pids: Iterable[int]) -> dict[int, str]:
    """{process: the name of the program that it runs}, as far as they still do."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            found[pid] = file.read().strip()
    return found


def share_of_memory(pid: int) -> int:
    """Bytes that a process has in memory, with its part of what it shares with others; 0 when it has ended."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def unlinked_bytes(pids: Iterable[int]) -> int:
    """Bytes of the files that these processes hold open and that no folder lists: deleted ones, or in memory only."""
    sizes = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    status = os.stat(f"/proc/{pid}/fd/{descriptor}")
                    if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                        sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _reap(pid: int) -> None:
    """Collect an adopted process that has ended; the worker itself is `subprocess`' to collect."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _table() -> Iterator[Process]:
    """The process table, as /proc shows it (proc(5), section /proc/pid/stat)."""
    if sys.platform != "linux":
        return
    page = os.sysconf("SC_PAGE_SIZE")
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()  # the name before it may hold spaces and brackets
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        yield Process(int(entry), int(fields[1]), int(fields[3]), int(fields[21]) * page, fields[0] in b"ZX")
