"""Landlock: a Linux process gives up access to files, for itself and all of its descendants, without any privilege.

    python landlock.py        exits with 0 when this kernel enforces it (`grader/wall/isolation.py` asks so)

Only the three system calls of linux/landlock.h, whose numbers are the same on every architecture. Everything that a
rule does not allow is denied from then on; there is no way back.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Sequence

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP = 0b11  # bind and connect, since ABI 4
_SCOPES = 0b11  # abstract Unix sockets and signals, since ABI 6


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def abi() -> int:
    """The version of Landlock that the running kernel enforces; 0 when it does not."""
    if sys.platform != "linux":
        return 0
    return max(0, _libc().syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG))


def confine(readable: Sequence[str], writable: Sequence[str], listable: Sequence[str] = ()) -> None:
    """Deny everything but reading below `readable` and anything below `writable`, and TCP connections altogether.

    Args:
        listable: folders of which only the names of the entries may be seen.

    Paths that do not exist are passed over.

    Raises:
        OSError: when the kernel refuses.
    """
    version = abi()
    rights = _RIGHTS_BY_ABI[max((known for known in _RIGHTS_BY_ABI if known <= version), default=1)]
    asked = _Ruleset(rights, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _checked(_libc().syscall(_CREATE_RULESET, ctypes.byref(asked), ctypes.c_size_t(size), 0))
    for paths, allowed in ((readable, _READ), (writable, rights), (listable, _READ_DIR)):
        for path in paths:
            _allow(ruleset, path, allowed)
    _checked(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_libc().syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            allowed &= _ON_FILES
        rule = _PathBeneath(allowed, descriptor)
        _checked(_libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _enforced() -> bool:
    """Whether a folder can no longer be listed once this process has confined itself."""
    if not abi():
        return False
    confine([], [])
    try:
        os.listdir("/")
    except PermissionError:
        return True
    return False


if __name__ == "__main__":
    sys.exit(not _enforced())
