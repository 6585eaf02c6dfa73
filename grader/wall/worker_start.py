"""A worker that is on its way up: its cell, its process, and the judge's end of the channel between them.

Imports no torch. A worker takes a second to import what it needs, in which the judge can import what it needs itself.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..worker.loader import Layout
from .isolation import Cell, Isolation, Level


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


def start_process(
    command: Sequence[str], *, pass_fds: Sequence[int], cwd: str, env: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, without input; what it prints comes through a pipe."""
    return subprocess.Popen(
        command,
        pass_fds=pass_fds,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


class StartedWorker:
    """A worker process in its cell, which nobody has asked anything yet. A `WorkerProcess` makes it its own.

    Args:
        scratch: an existing folder for what its processes write, or None for the system's.
        descriptors: further descriptors of the judge's that the process inherits, under the same numbers.
        gpu: whether it may use the GPUs that this process may.
    """

    def __init__(
        self,
        layout: Layout,
        limits: Limits,
        isolation: Isolation,
        scratch: Path | None = None,
        descriptors: tuple[int, ...] = (),
        gpu: bool = False,
    ) -> None:
        self.limits = limits
        self.cell = Cell(layout, isolation, scratch, gpu)
        self.channel, theirs = socket.socketpair()
        order = {
            "memory_mib": limits.memory_mib,
            "processes": limits.processes if isolation.level is Level.BUBBLEWRAP else None,
            "landlock": self.cell.landlock(),
            "user": self.cell.user(),
        }
        with theirs:
            self.process = start_process(
                self.cell.worker_command(theirs.fileno(), json.dumps(order)),
                pass_fds=(theirs.fileno(), *self.cell.descriptors, *descriptors),
                cwd=self.cell.directory,
                env=self.cell.environment(),
            )
