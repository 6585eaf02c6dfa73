"""Limits that the worker puts on itself before it imports a line of student code."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
from collections.abc import Iterator

if sys.platform != "win32":
    import resource

MIB = 1 << 20
_PR_SET_PDEATHSIG = 1


def limit_memory(mib: int) -> None:
    """Cap this process' private memory, in MiB; an allocation beyond it raises MemoryError.

    RLIMIT_DATA counts what a process allocates, not files it maps: a memory-mapped dataset may be larger than the
    limit, as the assignment intends. It holds per process, so helpers started by `multiprocessing` have their own.
    """
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (mib * MIB, mib * MIB))


def die_with_parent() -> None:
    """Let the kernel end this process when the judge's ends, however that happens (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def forbid_core_dumps() -> None:
    """A crash leaves no file behind."""
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextlib.contextmanager
def memory_headroom(mib: int) -> Iterator[None]:
    """Allow the enclosed code `mib` MiB more private memory than is in use now (Linux; elsewhere no limit)."""
    if sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _data_in_use() + mib * MIB
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_in_use() -> int:
    """Bytes that count against RLIMIT_DATA (VmData of this process)."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmData line")
