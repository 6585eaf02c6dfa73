"""What a grade spends its processor time on: the submission's own work, or what surrounds it.

    python -m benchmarks.grade_profile [SUBMISSION] [options of `python -m grader`]

A grade runs under py-spy (`pip install py-spy`), which looks at every process of it fifty times a second and says which
functions run. Shares are of the looks at which something computed, so a busy machine makes them no other; seconds are
those shares of the processor time of all processes together.
"""

from __future__ import annotations

import argparse
import collections
import compileall
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from grader.kit.paths import KIT, REFERENCE
from grader.wall.processes import started_here

_LOOKS_PER_S, _EVERY_S = 50, 0.05

_WAITS = re.compile(
    r"^(Condition\.wait|Popen\._wait|_read_exactly|WorkerProcess\._receive|WorkerProcess\._send|_Tail\.run"
    r"|_Crew\._start\.<locals>\.listen|Event\.wait|_train_and_kill|Gauge\.run|select|accept) "
)
"""The innermost functions of a thread that waits, though it does so in the kernel and may look busy."""

_PROCESSES = {
    "worker": "worker/serve.py",
    "fresh process": "worker/fresh_process.py",
    "examiner": "grader.examination.examiner",
    "judge of races": "grader.performance.judge",
}
"""What the command of a process contains; any other is the one that was started."""

_PURPOSES = (
    ("imports", r"^_find_and_load "),
    ("watching what the submission uses", r"\((?:\S*/)?worker/(usage_monitor|identity_snapshot|audit)\.py"),
    ("Triton's interpreter", r"triton/runtime/interpreter\.py"),
    ("serialisation", r"\((?:\S*/)?worker/(wire|shared_memory)\.py"),
    ("diagnosis", r"grader/diagnosis/"),
    ("expected values", r"^truth \(grader/cases/case\.py"),
    ("drawing cases", r"grader/cases/(store|generators|assets)"),
    ("experiments made again", r"grader/artifacts/measurement\.py"),
    ("races", r"grader/performance/"),
    ("the submission's own calls", r"^Operations\.(_perform|adapter) "),
    ("pytest and the tests themselves", r"_pytest/|\(test_\w+\.py"),
)
"""Purposes in the order in which they are looked for, each with what some function of the stack then is."""

_KEPT_TOGETHER = "the rest"


def purpose_of(stack: str) -> tuple[str, str] | None:
    """(purpose, process) of one line of py-spy's, without its count; None if it waits, or if it is a line of an error.

    Args:
        stack: `process 7:"command";outer (file:line);...;inner (file:line)`.
    """
    frames = stack.split(";")
    command = next((frame for frame in reversed(frames) if frame.startswith("process ")), None)
    body = [frame for frame in frames if not frame.startswith("process ")]
    if command is None or not body or _WAITS.match(body[-1]):
        return None
    process = next((name for name, part in _PROCESSES.items() if part in command), "command line")
    if process == "worker" and body[-1].startswith("main ("):
        return None  # between two requests
    purpose = next((name for name, part in _PURPOSES if any(re.search(part, f) for f in body)), _KEPT_TOGETHER)
    return purpose, process


def shares(lines: Iterable[str]) -> dict[tuple[str, str], float]:
    """{(purpose, process): share} of what py-spy wrote in its raw format."""
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if (found := purpose_of(stack)) is not None:
            counts[found] += int(count)
    total = counts.total()
    return {found: count / total for found, count in counts.items()}


def record(arguments: Sequence[str]) -> tuple[dict[tuple[str, str], float], float]:
    """Grade under py-spy: the shares, and the processor seconds of all processes.

    Raises:
        SystemExit: py-spy is not installed, or there is nothing to read.
    """
    program = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if program is None:
        raise SystemExit("py-spy is not installed: pip install py-spy")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        written = Path(folder, "stacks")
        command = [program, "record", "--subprocesses", "--rate", str(_LOOKS_PER_S), "--format", "raw"]
        command += ["--output", str(written), "--", sys.executable, "-m", "grader", *arguments]
        # As for everybody, what is imported has been compiled before.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        compileall.compile_dir(KIT / "grader", quiet=2)
        watched = subprocess.Popen(
            command, cwd=KIT, env=environment, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
        )
        seconds = _processor_seconds(watched)
        if not written.exists():
            said.seek(0)
            raise SystemExit(f"py-spy has written nothing. It said: {said.read().strip()[-500:]}")
        return shares(written.read_text("utf-8", "replace").splitlines()), seconds


def _processor_seconds(watched: subprocess.Popen[bytes]) -> float:
    """What all processes below one have used by its end, itself left out.

    Looked at again and again: the kernel adds nothing of a worker to its parent that ends together with its namespace.
    """
    used: dict[int, float] = {}
    while watched.poll() is None:
        for pid in (process.pid for process in started_here() if process.pid != watched.pid):
            with contextlib.suppress(OSError):
                used[pid] = time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3)
        time.sleep(_EVERY_S)
    return sum(used.values())


def table(found: dict[tuple[str, str], float], seconds: float) -> Table:
    """Purposes by rows, processes by columns, the largest first."""
    processes = sorted(
        {process for _, process in found}, key=lambda p: -sum(s for (_, q), s in found.items() if q == p)
    )
    purposes = sorted({purpose for purpose, _ in found}, key=lambda p: -sum(s for (q, _), s in found.items() if q == p))
    shown = Table("of all processor time", *(f"{process} %" for process in processes), "all %", "seconds")
    for column in shown.columns[1:]:
        column.justify = "right"
    for purpose in [*purposes, "all"]:
        wanted = purposes if purpose == "all" else [purpose]
        row = [sum(found.get((one, process), 0.0) for one in wanted) for process in processes]
        cells = [f"{100 * share:.1f}" if share else "" for share in row]
        shown.add_row(purpose, *cells, f"{100 * sum(row):.1f}", f"{seconds * sum(row):.1f}")
    return shown


def main(arguments: Sequence[str] | None = None) -> None:
    """Profile one grade, and print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.grade_profile", description=__doc__)
    parser.add_argument("submission", nargs="?", default=str(REFERENCE), help="what to grade (default: the reference)")
    options, others = parser.parse_known_args(arguments)
    Console(width=140).print(table(*record([options.submission, *others])))


if __name__ == "__main__":
    main()
