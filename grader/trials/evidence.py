"""Write `tests/fixtures/cases/misconceptions.msgpack`: what every misconception looks like from outside.

Each one is planted into the reference in turn, and the tests of its own problem and of all that build on it are run.
What is kept are the words and the fingerprints of the tests that fail, never the code, and in which of them all
that is answered is right.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from ..diagnosis.known_bugs import stored_records, without_wrong_values, write_records, wrong_places
from ..examination.runner import has_tests
from ..misconceptions.catalogue import Misconception, load_catalogue
from ..scoring.rubric import Problem, load_rubric
from .trial import right_answers, try_variant

UNRECOGNISABLE = frozenset({"training_together"})
"""Problems whose tests leave nothing to know a bug by: what comes of a training depends on choices that are the
student's own (the first weights, the batches) and on the clock. Their misconceptions only prove the tests."""

Record = dict[str, Any]
Result = TypeVar("Result")


def write_evidence(path: Path, only: Sequence[str] | None = None, processes: int | None = None) -> int:
    """Try every misconception and write the records to `path`; gives their number.

    Args:
        only: problems whose misconceptions are tried anew; the records of all others stay as they are in `path`.
    """
    problems = [problem for problem in problems_with_misconceptions() if problem not in UNRECOGNISABLE]
    tried = [problem for problem in problems if only is None or problem in only]
    records = gather_evidence(tried, processes)
    kept = [] if only is None else stored_records(path)
    records += [record for record in kept if record["problem"] not in tried]
    records.sort(key=lambda record: problems.index(record["problem"]))  # stable: the catalogue's order within each
    write_records(records, path)
    return len(records)


def problems_with_misconceptions() -> list[str]:
    """Ids of the problems that the catalogue covers, in the rubric's order."""
    covered = {misconception.problem for misconception in load_catalogue()}
    return [problem.id for problem in load_rubric().problems if problem.id in covered]


def gather_evidence(problems: Sequence[str], processes: int | None = None) -> list[Record]:
    """The records of these problems' misconceptions, in the order of the catalogue."""
    depending = dependents()
    jobs = [
        (problem, i, form, depending[problem])
        for problem in problems
        for i, misconception in enumerate(load_catalogue(problem))
        for form in range(len(misconception.every_form))
    ]
    evidence = in_processes(_evidence, jobs, "misconceptions", processes)
    touched = [(problem,) for problem in sorted({name for tests in evidence for name in tests})]
    answers = in_processes(right_answers, touched, "right answers", processes)
    right = {test: transcript for tests in answers for test, transcript in tests.items()}
    records: list[Record] = []
    for (problem, index, form, _), tests in zip(jobs, evidence, strict=True):
        look = _look(tests, right)
        if form:
            records[-1]["forms"].append(look)
        else:
            tried_on = [problem, *depending[problem]]
            records.append({**_words(load_catalogue(problem)[index]), **look, "forms": [], "tried_on": tried_on})
    return records


def in_processes(
    work: Callable[..., Result], jobs: Sequence[tuple[Any, ...]], title: str, processes: int | None = None
) -> list[Result]:
    """`work(*job)` for each job, side by side in fresh processes, with a progress bar; results in order."""
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with concurrent.futures.ProcessPoolExecutor(
        processes or os.cpu_count(), context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        running = [pool.submit(work, *job) for job in jobs]
        for _ in tqdm(
            concurrent.futures.as_completed(running), total=len(running), desc=title, leave=False, disable=None
        ):
            pass
        return [job.result() for job in running]


def _evidence(
    problem: str, index: int, form: int, building_on: tuple[str, ...]
) -> dict[str, dict[str, list[list[Any]]]]:
    trials = try_variant(load_catalogue(problem)[index].every_form[form], problem, *building_on)
    return {name: dict(sorted(trial.failed.items())) for name, trial in trials.items() if trial.failed}


def _words(misconception: Misconception) -> Record:
    return {name: getattr(misconception, name) for name in ("id", "problem", "diagnosis", "hint", "frequency")}


def _look(evidence: Mapping[str, Mapping[str, Any]], right: Mapping[str, Any]) -> Record:
    """The fields of `Form`."""
    failed = {test: transcript for tests in evidence.values() for test, transcript in tests.items()}
    wrong = {test: wrong_places(transcript, right.get(test, ())) for test, transcript in failed.items()}
    return {"evidence": evidence, "right": without_wrong_values(failed, right), "wrong": wrong}


def dependents() -> Mapping[str, tuple[str, ...]]:
    """{problem: the problems with tests of code on which evidence of its bugs is kept}: those that build on it.

    Optional sections keep to themselves: most submissions have nothing of them, and each bug of what they build on
    would have to be tried with all of their problems.
    """
    rubric = load_rubric()

    def apart(one: Problem, other: Problem) -> bool:
        return other.section in rubric.optional_sections and one.section != other.section

    return {
        problem: tuple(other for other in others if not apart(rubric[problem], rubric[other]))
        for problem, others in building_on().items()
    }


def building_on() -> Mapping[str, tuple[str, ...]]:
    """{problem: the problems with tests of code that build on it, directly or not}."""
    rubric = load_rubric()
    problems = [problem for problem in rubric.problems if problem.kind == "code" and has_tests(problem)]
    needs = {problem.id: set(problem.needs) for problem in problems}

    def below(problem: str) -> set[str]:
        return needs.get(problem, set()).union(*(below(needed) for needed in needs.get(problem, ())))

    repeatable = [problem for problem in problems if problem.id not in UNRECOGNISABLE]
    return {problem.id: tuple(o.id for o in repeatable if problem.id in below(o.id)) for problem in problems}
