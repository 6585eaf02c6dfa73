"""Write `tests/fixtures/misconceptions.msgpack`: what every misconception looks like from outside.

Each one is planted into the reference in turn, and the tests of its own problem and of all that build on it are run.
What is kept are the words and the fingerprints of the tests that fail, never the code.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack
from tqdm import tqdm

from ..rubric import load_rubric
from ..runner import has_tests
from .catalogue import Misconception, load_catalogue
from .trial import try_variant

Record = dict[str, Any]


def write_evidence(path: Path, processes: int | None = None) -> int:
    """Try every misconception and write the records to `path`; gives their number."""
    path.write_bytes(msgpack.packb(gather_evidence(load_catalogue(), processes)))
    return len(load_catalogue())


def gather_evidence(catalogue: tuple[Misconception, ...], processes: int | None = None) -> list[Record]:
    """The records of these misconceptions, in the order of the catalogue."""
    building_on = dependents()
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with concurrent.futures.ProcessPoolExecutor(processes or os.cpu_count(), context) as pool:
        jobs = [
            pool.submit(_record, misconception.problem, index, building_on[misconception.problem])
            for misconception, index in _numbered(catalogue)
        ]
        for _ in tqdm(concurrent.futures.as_completed(jobs), total=len(jobs), desc="misconceptions"):
            pass
        return [job.result() for job in jobs]


def _numbered(catalogue: tuple[Misconception, ...]) -> list[tuple[Misconception, int]]:
    """Each misconception with its place in its problem's module: what a process needs to find it again."""
    seen: dict[str, int] = {}
    numbered = []
    for misconception in catalogue:
        seen[misconception.problem] = seen.get(misconception.problem, -1) + 1
        numbered.append((misconception, seen[misconception.problem]))
    return numbered


def _record(problem: str, index: int, building_on: tuple[str, ...]) -> Record:
    misconception = load_catalogue(problem)[index]
    trials = {name: try_variant(misconception, name).failed for name in (problem, *building_on)}
    return {
        "id": misconception.id,
        "problem": misconception.problem,
        "diagnosis": misconception.diagnosis,
        "hint": misconception.hint,
        "frequency": misconception.frequency,
        "evidence": {name: dict(sorted(failed.items())) for name, failed in trials.items() if failed},
    }


def dependents() -> Mapping[str, tuple[str, ...]]:
    """{problem: the problems with tests that build on it, directly or not}."""
    problems = [problem for problem in load_rubric().problems if has_tests(problem)]
    needs = {problem.id: set(problem.needs) for problem in problems}

    def below(problem: str) -> set[str]:
        return needs.get(problem, set()).union(*(below(needed) for needed in needs.get(problem, ())))

    return {problem.id: tuple(other.id for other in problems if problem.id in below(other.id)) for problem in problems}
