"""What `pytest tests/test_rope.py` costs before and beside the tests: a student waits for it a hundred times a day."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from grader.kit.paths import KIT, REFERENCE

_MOST = 0.5
"""Of what importing torch and pytest takes, which is two seconds of a slow core; without care it was 0.6 to 0.8."""

_NEEDLESS = ("rich", "jinja2", "pytest_benchmark", "grader.report", "grader.cases.generators", "sympy", "torch._dynamo")
"""What a run in which nothing fails has no use for."""


def run(folder: Path, *arguments: str) -> tuple[float, str]:
    """Seconds of processor time that a Python with these arguments takes, and what it prints.

    Its compiled files are kept in a folder, as an ordinary Python keeps them beside the source.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder), "PYTEST_ADDOPTS": "", "OMP_NUM_THREADS": "1"}
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTEST_XDIST_WORKER"):
        environment.pop(name, None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], cwd=KIT, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("compiled")


RUN = ("tests/test_rope.py", "-q", "-n0", "--submission", str(REFERENCE))


def test_it_takes_little_more_than_importing_torch_and_pytest(compiled):
    ours, theirs = ("-m", "pytest", *RUN), ("-c", "import torch, pytest")
    for command in (theirs, ours):
        run(compiled, *command)
    least = {command: min(run(compiled, *command)[0] for _ in range(3)) for command in (theirs, ours)}
    more = least[ours] / least[theirs] - 1
    assert more < _MOST, f"{least[ours]:.2f} s of processor time, where importing both takes {least[theirs]:.2f} s"


def test_it_imports_nothing_that_only_failures_need(compiled):
    program = (
        "import sys, pytest\n"
        f"assert pytest.main({list(RUN)!r}) == 0\n"
        "print('loaded:', *sorted(sys.modules), file=sys.__stdout__)"
    )
    loaded = run(compiled, "-c", program)[1].partition("loaded:")[2].split()
    assert "torch" in loaded
    assert [name for name in loaded if name in _NEEDLESS or name.startswith(tuple(f"{n}." for n in _NEEDLESS))] == []
