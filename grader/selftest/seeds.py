"""Does every known bug fail on fresh inputs too, and all right code pass, whatever the seed draws?

    python -m grader.selftest.seeds [--problem ID ...] [--seeds 200] [--without ID ...]

Stored cases are the same for everyone, so that a submission may have been made to pass just these; what a grade relies
on are the cases that it draws from its own seed. A bug that only some draws show is caught by luck. Here every
misconception is planted into the reference, and for every seed the claims that its stored evidence names are tried on
the cases of that seed alone, until one of them fails. A claim that draws nothing is the same for every seed.

The other way round, right code has to pass what every seed draws, advice excepted: a tolerance that one draw in a
hundred oversteps costs one student in a hundred their points. The reference is tried on every seed, and of the honest
variants of a problem one in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import importlib.util
import inspect
import io
import random
import sys
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grader.cases.case import Case
from grader.cases.generators import reference_oracle
from grader.cases.store import fresh_cases, problems_with_cases
from grader.diagnosis.known_bugs import load_known_bugs
from grader.kit.paths import TESTS
from grader.misconceptions.catalogue import Variant, load_catalogue
from grader.submission.faults import NothingToAssess
from grader.submission.in_process import InProcess
from grader.trials.evidence import UNRECOGNISABLE, in_processes, problems_with_misconceptions

from .kill_matrix import honest_variants

_SHOWN = 5
_DRAWN = frozenset({"submission", "case", "chance"})
"""What a claim may ask for to be tried here."""


@dataclass(frozen=True)
class Claim:
    """A test function.

    groups: of the cases that it is tried on; none where it takes no case; advice: whether it is worth nothing.
    """

    function: Callable[..., None]
    groups: tuple[str, ...]
    advice: bool = False

    @property
    def asks_for(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.function).parameters)

    def trials(self, cases: Sequence[Case], seed: int) -> Iterator[dict[str, Any]]:
        """The arguments beside the submission, once for each of a seed's cases."""
        drawn: dict[str, Any] = {}
        if "chance" in self.asks_for:
            drawn["chance"] = random.Random(f"{seed} {self.function.__name__}")
        if "case" in self.asks_for:
            yield from ({**drawn, "case": case} for case in cases if case.group in self.groups)
        else:
            yield drawn


def claims_of(problem: str) -> dict[str, Claim]:
    """{name: claim} of a problem's test file."""
    module = _test_module(problem)
    found = {}
    for name, function in vars(module).items():
        if name.startswith("test_"):
            marks = {mark.name: mark for mark in getattr(function, "pytestmark", ())}
            groups = (marks["cases"].args or ("reference",)) if "cases" in marks else ()
            found[name] = Claim(function, groups, "advice" in marks)
    return found


@functools.cache
def _test_module(problem: str) -> types.ModuleType:
    path = TESTS / f"test_{problem}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def killers_of(problem: str) -> dict[str, list[str]]:
    """{misconception: the claims of its own problem that it fails}, as the stored evidence has it."""
    found = {}
    for bug in load_known_bugs():
        if bug.problem == problem:
            tests = bug.evidence.get(problem, {})
            found[bug.id] = list(dict.fromkeys(test.partition("::")[2].partition("[")[0] for test in tests))
    return found


def survivals(problem: str, seeds: Sequence[int], without: Collection[str] = ()) -> dict[str, list[int]]:
    """{misconception: the seeds whose cases it passes}, for those that are caught by what is drawn, or by luck.

    Args:
        without: misconceptions that are left out.
    """
    claims, killers = claims_of(problem), killers_of(problem)
    tried: dict[str, list[str]] = {}
    for id, names in killers.items():
        known = [name for name in names if claims[name].asks_for <= _DRAWN]
        if id not in without and all(
            claims[name].asks_for & {"case", "chance"} for name in names
        ):  # else one of them is always the same
            tried[id] = known
    reference = reference_oracle()
    survived: dict[str, list[int]] = {id: [] for id in tried}
    bugs = [bug for bug in load_catalogue(problem) if bug.id in tried]
    for seed in seeds:
        cases = fresh_cases(problem, seed, reference) if problem in problems_with_cases() else []
        wanted = {group for names in tried.values() for name in names for group in claims[name].groups}
        for case in cases:  # before anything is planted: what is right comes from the reference as it is
            if case.group in wanted:
                _ = case.expected, case.other_answers()
        for bug in bugs:
            killer = _killer(bug, [(name, claims[name]) for name in tried[bug.id]], cases, seed)
            if killer is None:
                survived[bug.id].append(seed)
            else:  # most likely the next to kill it
                tried[bug.id].remove(killer)
                tried[bug.id].insert(0, killer)
    return survived


def refusals(problem: str, seeds: Sequence[int], without: Collection[str] = ()) -> dict[str, list[tuple[int, str]]]:
    """{right code: (seed, a claim that it fails on what this seed draws)}; empty lists where it never fails.

    Args:
        without: honest variants that are left out.
    """
    claims = [
        (name, claim)
        for name, claim in claims_of(problem).items()
        if not claim.advice and claim.asks_for <= _DRAWN and claim.asks_for & {"case", "chance"}
    ]
    honest = [variant for variant in honest_variants(problem) if variant.id not in without]
    as_it_is = Variant("the reference", problem, {})
    reference = reference_oracle()
    refused: dict[str, list[tuple[int, str]]] = {}
    for seed in seeds:
        cases = fresh_cases(problem, seed, reference) if problem in problems_with_cases() else []
        for case in cases:  # before anything is planted, as above
            _ = case.expected, case.other_answers()
        for variant in (as_it_is, *([honest[seed % len(honest)]] if honest else [])):
            refused.setdefault(variant.id, [])
            if failed := _killer(variant, claims, cases, seed):
                refused[variant.id].append((seed, failed))
    return refused


def _killer(bug: Variant, claims: Sequence[tuple[str, Claim]], cases: Sequence[Case], seed: int) -> str | None:
    """The first of the claims that the planted variant fails on the cases of one seed."""
    with bug.planted(), contextlib.redirect_stdout(io.StringIO()):
        submission = InProcess(importlib.import_module("grader.trials.planted"))
        for name, claim in claims:
            for arguments in claim.trials(cases, seed):
                try:
                    claim.function(submission=submission, **arguments)
                except NothingToAssess:  # speaks neither for nor against it
                    pass
                except Exception:  # a failed claim, or whatever the wrong code raised
                    return name
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Print which bugs some seeds let pass; exit code 1 when there is any."""
    parser = argparse.ArgumentParser("python -m grader.selftest.seeds", description=__doc__)
    covered = [problem for problem in problems_with_misconceptions() if problem not in UNRECOGNISABLE]
    parser.add_argument("--problem", nargs="+", choices=covered, default=covered, metavar="ID", help="only these")
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="how many seeds, from 1 (default: 200)")
    parser.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="ID",
        help="misconceptions and honest variants to leave out, such as slow ones, of which each trial takes seconds",
    )
    parser.add_argument("--processes", type=int, default=None, help="side by side (default: one per processor)")
    options = parser.parse_args(arguments)
    known = {bug.id for bug in load_known_bugs()} | {right.id for p in options.problem for right in honest_variants(p)}
    if unknown := sorted({*options.without} - known):
        parser.error(f"no misconception and no honest variant of these problems is called {unknown[0]!r}")
    share = max(1, min(20, options.seeds // 2))
    jobs = [
        (problem, tuple(range(first, min(first + share, options.seeds + 1))))
        for problem in options.problem
        for first in range(1, options.seeds + 1, share)
    ]
    tasks = [(*job, tuple(options.without)) for job in jobs]
    found = {
        work: _gathered(jobs, in_processes(work, tasks, title, options.processes))
        for work, title in ((survivals, "known bugs"), (refusals, "right code"))
    }
    return max(_report(found[survivals], options.seeds), _report_refused(found[refusals], options.seeds))


def _gathered(jobs: Sequence[tuple[Any, ...]], results: Sequence[dict[str, list[Any]]]) -> dict[str, dict[str, list]]:
    """{problem: {id of a variant: what all of its seeds found}}"""
    found: dict[str, dict[str, list]] = {}
    for (problem, _), result in zip(jobs, results, strict=True):
        for id, noted in result.items():
            found.setdefault(problem, {}).setdefault(id, []).extend(noted)
    return found


def _report(found: Mapping[str, Mapping[str, list[int]]], seeds: int) -> int:
    lucky = 0
    for problem, survived in found.items():
        for id, passed in survived.items():
            if passed:
                lucky += 1
                shown = ", ".join(map(str, passed[:_SHOWN])) + (" ..." if len(passed) > _SHOWN else "")
                print(f"by luck: {id} passes the fresh cases of {problem} for {len(passed)} of {seeds} seeds ({shown})")
    tried = sum(map(len, found.values()))
    print(f"caught whatever the seed  {tried - lucky} of {tried} that what is drawn has to catch; {seeds} seeds")
    return int(bool(lucky))


def _report_refused(found: Mapping[str, Mapping[str, list[tuple[int, str]]]], seeds: int) -> int:
    unlucky = 0
    for problem, refused in found.items():
        for id, failed in refused.items():
            if failed:
                unlucky += 1
                shown = ", ".join(f"{seed}: {claim}" for seed, claim in failed[:_SHOWN])
                print(f"refused: {id} of {problem} fails for {len(failed)} of {seeds} seeds ({shown})")
    tried = sum(map(len, found.values()))
    print(f"right whatever the seed   {tried - unlucky} of {tried}; {seeds} seeds")
    return int(bool(unlucky))


if __name__ == "__main__":
    sys.exit(main())
