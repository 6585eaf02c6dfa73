"""Where root runs the grader: a user for the worker who is not root, and a place where it can become that one.

A process without capabilities that is still root owns root's files, and is root to every other system that goes by
user ids. So the worker becomes a user who owns nothing. Inside bubblewrap that takes a user namespace in which this
user exists beside root; bubblewrap itself makes only namespaces of one user.
"""

from __future__ import annotations

import functools
import os
import secrets
import subprocess
import sys

_FIRST, _LAST = 61_184, 65_519
"""User ids that nobody is given for good (systemd's dynamic users have them, while they run)."""
_TRIES = 20

_NEEDED = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SYS_PTRACE": 19,
    "SYS_NICE": 23,
}
"""{capability: its number}: what this process must be able to do to a worker that is another user's.

Without the last two, which containers usually withhold, it could neither see what the worker's processes use nor say
on which processor they run.
"""

_MAKE_NAMESPACE = """
import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):  # CLONE_NEWUSER
    sys.exit(os.strerror(ctypes.get_errno()))
with open("/proc/sys/user/max_user_namespaces", "w") as file:
    file.write("0")
print("made", flush=True)
sys.stdin.read()
"""


def is_root() -> bool:
    """Whether this process is root's."""
    return sys.platform != "win32" and os.geteuid() == 0


def unused_user() -> int | None:
    """The id of a user and group of which nothing is known here, drawn anew at each call.

    None where this process is not root's, or is not allowed to act for another user.
    """
    if sys.platform != "linux" or not is_root() or not _may_act_for_others():
        return None
    for _ in range(_TRIES):
        user = _FIRST + secrets.randbelow(_LAST - _FIRST + 1)
        if _exists_here(user, "uid") and _exists_here(user, "gid") and not _is_known(user):
            return user
    return None


@functools.cache
def namespace_of(user: int) -> int:
    """The descriptor of a user namespace that holds root and `user`, and in which no other can be made.

    Raises:
        OSError: when the kernel refuses.
    """
    maker = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _MAKE_NAMESPACE],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with maker:
        assert maker.stdout is not None
        assert maker.stderr is not None
        if not maker.stdout.readline():
            raise OSError(f"no user namespace could be made: {maker.stderr.read().decode().strip()}")
        for kind in ("uid", "gid"):
            with open(f"/proc/{maker.pid}/{kind}_map", "w", encoding="ascii") as file:
                file.write(f"0 0 1\n{user} {user} 1\n")
        return os.open(f"/proc/{maker.pid}/ns/user", os.O_RDONLY)


def _may_act_for_others() -> bool:
    with open("/proc/self/status", encoding="ascii") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return all(effective >> number & 1 for number in _NEEDED.values())


def _exists_here(identity: int, kind: str) -> bool:
    """Whether the user namespace of this process has such a user or group: a container's may have few."""
    with open(f"/proc/self/{kind}_map", encoding="ascii") as file:
        ranges = [tuple(map(int, line.split())) for line in file]
    return any(first <= identity < first + count for first, _, count in ranges)


def _is_known(user: int) -> bool:
    import pwd  # there is none on Windows

    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True
