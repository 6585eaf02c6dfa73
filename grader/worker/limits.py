"""Limits that the worker puts on itself before it imports a line of student code."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import sys
from collections.abc import Iterator

if sys.platform != "win32":
    import resource

MIB = 1 << 20
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_KEYCTL = {"x86_64": 250, "aarch64": 219, "arm64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
"""The number of the system call keyctl(2), by architecture; no C library has a function for it."""
_KEYCTL_JOIN_SESSION_KEYRING = 1
_NO_KEYRINGS = (errno.ENOSYS, errno.EPERM)  # a kernel without them, or a container that keeps everybody from them

_CPU_S = 4 * 3600
_FILE_BYTES = 16 << 30  # sparse files may be longer than memory is large
_OPEN_FILES = 1024
_THREADS = 16  # per process


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


def limit_resources(processes: int | None) -> None:
    """Limits per process that honest code never meets; how long and how much is the judge's to decide.

    Args:
        processes: how many processes and threads may run, where the limit counts those of this sandbox only. Outside of
            one it counts everything that the user runs.
    """
    if sys.platform == "win32":
        return
    _lower(resource.RLIMIT_CORE, 0)  # a crash leaves no file behind
    _lower(resource.RLIMIT_CPU, _CPU_S)
    _lower(resource.RLIMIT_FSIZE, _FILE_BYTES)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    if processes is not None:
        _lower(resource.RLIMIT_NPROC, processes * _THREADS)


def _lower(kind: int, limit: int) -> None:
    hard = resource.getrlimit(kind)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (limit, limit))


def leave_keyring() -> None:
    """Take an empty session keyring in place of the one that whoever runs the grader keeps his keys in (Linux)."""
    if sys.platform != "linux" or (number := _KEYCTL.get(os.uname().machine)) is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None) < 0 and ctypes.get_errno() not in _NO_KEYRINGS:
        raise OSError(ctypes.get_errno(), "no session keyring of its own could be had")


def forbid_new_privileges() -> None:
    """Let no program that this process starts give it more rights than it has (Linux)."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for those without privileges, who need it least


def give_up_privileges() -> None:
    """Drop every capability, for good: a grader that is run by root must not lend root's powers (Linux)."""
    if sys.platform != "linux":
        return
    forbid_new_privileges()
    libc = ctypes.CDLL(None, use_errno=True)
    version_3_of_this_process = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(version_3_of_this_process, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "the capabilities of this process cannot be dropped")


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
