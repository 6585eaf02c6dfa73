"""Another user for the worker, where root runs the grader: one who owns nothing, and whom nothing is allowed.

    python user.py USER NAMESPACE PATH...   exits with 0 when that user can read the paths (`grader/wall/isolation.py`),
                                            and the current folder, which may lie in one that is closed to others

Without capabilities root is still the owner of root's files. A user id of its own is what takes that away.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Sequence

_PR_SET_DUMPABLE = 4


def become(user: int, namespace: int | None = None) -> None:
    """Be this user from now on, in the group of the same number and in no other, for good.

    Args:
        namespace: the descriptor of the user namespace that this process was started in, which is closed.

    Raises:
        OSError: when this process is not allowed to.
    """
    if namespace is not None:
        os.close(namespace)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # A process that changes its user hides what /proc says of it, from itself too, until it asks for the contrary.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def unreadable(paths: Sequence[str]) -> str:
    """The first of these paths, and of what lies directly in them, that exists and cannot be read; "" for none."""
    for path in paths:
        try:
            entries = [path, *(entry.path for entry in os.scandir(path))]
        except NotADirectoryError:
            entries = [path]
        except FileNotFoundError:
            continue
        except PermissionError:
            return path
        for entry in entries:
            try:
                is_folder = stat.S_ISDIR(os.stat(entry).st_mode)
            except PermissionError:
                return entry
            except OSError:  # a link to nothing
                continue
            if not os.access(entry, os.R_OK | (os.X_OK if is_folder else 0)):
                return entry
    return ""


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]) if sys.argv[2] else None)
    sys.exit(unreadable([os.getcwd(), *sys.argv[3:]]) or 0)
