"""What `pytest tests/test_rope.py` costs before and beside the tests: a student waits for it a hundred times a day."""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys

from grader.kit.paths import KIT, REFERENCE

_MOST = 0.5
"""Of what importing torch and pytest takes, which is two seconds of a slow core; without care it was 0.6 to 0.8."""

_ATTEMPTS = 4

_NEEDLESS = ("rich", "jinja2", "pytest_benchmark", "grader.report", "grader.cases.generators", "sympy", "torch._dynamo")
"""What a run in which nothing fails has no use for."""


def run(*arguments: str) -> tuple[float, str]:
    """Seconds of processor time that a Python with these arguments takes, and what it prints.

    It keeps compiled files beside the source, as it does for everybody.
    """
    environment = {**os.environ, "PYTEST_ADDOPTS": "", "OMP_NUM_THREADS": "1"}
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTEST_XDIST_WORKER"):
        environment.pop(name, None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], cwd=KIT, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.stdout


RUN = ("tests/test_rope.py", "-q", "-n0", "--submission", str(REFERENCE))


def test_it_takes_little_more_than_importing_torch_and_pytest():
    """By the least of a few measurements, since other programs only ever add to one."""
    ours, theirs = ("-m", "pytest", *RUN), ("-c", "import torch, pytest")
    run(*ours)  # compiles what is not compiled yet
    measured: list[tuple[float, float]] = []
    more = math.inf
    while more >= _MOST and len(measured) < _ATTEMPTS:
        measured.append((run(*ours)[0], run(*theirs)[0]))
        least, imports = map(min, zip(*measured, strict=True))
        more = least / imports - 1
    assert more < _MOST, f"{least:.2f} s of processor time, where importing both takes {imports:.2f} s"


def test_it_imports_nothing_that_only_failures_need():
    program = (
        "import sys, pytest\n"
        f"assert pytest.main({list(RUN)!r}) == 0\n"
        "print('loaded:', *sorted(sys.modules), file=sys.__stdout__)"
    )
    loaded = run("-c", program)[1].partition("loaded:")[2].split()
    assert "torch" in loaded
    assert [name for name in loaded if name in _NEEDLESS or name.startswith(tuple(f"{n}." for n in _NEEDLESS))] == []
