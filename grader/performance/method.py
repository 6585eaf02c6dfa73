"""How good the timing method is: the same code against itself, and against a copy that does 5 % more.

On the CPU, which is no more than a stand-in, the copy does 25 % more.

Run by `measure.py`. The contestants are submissions like any other, behind the wall, each in a worker of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..scoring.races import RaceResult
from ..submission.locate import locate
from ..wall.isolation import choose
from ..wall.processes import adopt_orphans
from ..worker.loader import Layout
from .devices import Device
from .race import Race
from .racing import open_pairing
from .reference_layout import reference_layout
from .statistics import Thresholds
from .tensor_races import RACES

WITHIN = {"cuda": 0.01, "cpu": 0.05}
"""How far a ratio may be from the true one. On a CPU two processes with the same code differ by a few per cent for as
long as they live, by where their memory came to lie."""
EVERY = {"cuda": 20, "cpu": 4}
"""The slower copy does every so manyth call twice."""

_TIMED = ("softmax_speed", "rmsnorm_speed", "scaled_dot_product_attention_speed")
_NEVER_SETTLED = Thresholds(full=0.5, none=2.0)

_SLOWER = """\
import functools

import reference.adapters
from reference.adapters import *


def slower(function):
    calls = 0

    @functools.wraps(function)
    def call(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls % EVERY == 0:
            function(*arguments, **options)
        return function(*arguments, **options)

    return call


run_softmax = slower(reference.adapters.run_softmax)
run_scaled_dot_product_attention = slower(reference.adapters.run_scaled_dot_product_attention)


def get_rmsnorm_module(d_model, eps):
    module = reference.adapters.get_rmsnorm_module(d_model, eps)
    module.forward = slower(module.forward)
    return module
"""


@dataclass(frozen=True)
class MethodResult:
    """What a race said, and whether it is what it should be."""

    what: str
    result: RaceResult
    is_right: bool


def examine(device: Device, budget_s: float = 20.0) -> Iterator[MethodResult]:
    """Race the reference against itself, and against the slower copy."""
    adopt_orphans()
    original = reference_layout(device.name)
    every, within = EVERY[device.name], WITHIN[device.name]
    with _slower(original, every) as slower:
        for layout, what, truth in ((original, "itself", 1.0), (slower, f"{1 / every:.0%} more work", 1 + 1 / every)):
            with open_pairing(layout, choose("auto", layout), device) as opened:
                for problem in _TIMED:
                    race = _precise(next(RACES[problem](device.name)))
                    result = opened.run(race, budget_s)
                    yield MethodResult(f"{race.id}, {what}", result, _is_right(result, truth, within))


def _is_right(result: RaceResult, truth: float, within: float) -> bool:
    """Whether a ratio is near the true one; the second of two equal calls may be faster, but its cost must be seen."""
    if result.status != "measured" or result.ratio > truth * (1 + within):
        return False
    return result.low > 1 if truth > 1 else result.ratio >= 1 - within


def _precise(race: Race) -> Race:
    return dataclasses.replace(race, thresholds=_NEVER_SETTLED)


@contextlib.contextmanager
def _slower(original: Layout, every: int) -> Iterator[Layout]:
    """A submission that does everything as the original does, and every so manyth call twice."""
    with tempfile.TemporaryDirectory() as folder:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(original.root, Path(folder, "reference"), ignore=ignored)
        Path(folder, "adapters.py").write_text(_SLOWER.replace("EVERY", str(every)), "utf-8")
        Path(folder, "reference", "__init__.py").touch()
        yield locate(folder)
