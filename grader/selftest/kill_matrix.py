"""Does every known bug fail its problem's tests, every honest variant pass them, and every bug get its name?

    python -m grader.selftest.kill_matrix [--problem ID ...] [--verbose]

Runs on stored cases, with each variant planted into the reference in turn. Beside the survivors it prints the figures
that the catalogue promises: how many bugs are killed, and how many of them the stored evidence names, rightly or not.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence

from grader.diagnosis import KnownBug, diagnose, load_known_bugs, same_transcript
from grader.misconceptions.catalogue import Variant
from grader.misconceptions.evidence import (
    UNRECOGNISABLE,
    gather_evidence,
    in_processes,
    problems_with_misconceptions,
)
from grader.misconceptions.trial import Trial, try_variant


def honest_variants(problem: str) -> tuple[Variant, ...]:
    """Correct implementations of one problem, written differently."""
    try:
        return importlib.import_module(f"grader.selftest.honest.{problem}").VARIANTS
    except ModuleNotFoundError:
        return ()


def try_honest(problem: str, index: int) -> Trial:
    """Run a problem's tests on one of its honest variants; -1 is the reference itself."""
    variant = Variant("reference", problem, {}) if index < 0 else honest_variants(problem)[index]
    return try_variant(variant, problem)[problem]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is judged wrongly, and the figures; exit code 1 when anything is."""
    parser = argparse.ArgumentParser("python -m grader.selftest.kill_matrix", description=__doc__)
    parser.add_argument("--problem", nargs="+", default=None, help="only these problems")
    parser.add_argument("--verbose", action="store_true", help="name the tests that kill each misconception")
    parser.add_argument("--processes", type=int, default=None, help="side by side (default: one per processor)")
    options = parser.parse_args(arguments)
    problems = options.problem or problems_with_misconceptions()

    honest = [(problem, i) for problem in problems for i in range(-1, len(honest_variants(problem)))]
    trials = dict(zip(honest, in_processes(try_honest, honest, "honest variants", options.processes), strict=True))
    bugs = [KnownBug(**record) for record in gather_evidence(problems, options.processes)]

    complaints = [
        *_honest_but_failed(trials),
        *(f"survives: {bug.id} fails no test of {bug.problem}" for bug in bugs if not _killers(bug)),
        *_outdated([bug for bug in bugs if bug.problem not in UNRECOGNISABLE], problems),
    ]
    if options.verbose:
        for bug in bugs:
            print(f"{bug.id}: {' '.join(_killers(bug))}")
    recognisable = [bug for bug in bugs if bug.problem not in UNRECOGNISABLE]
    named, misnamed = 0, []
    for bug in recognisable:
        ran = {*trials[bug.problem, -1].passed, *trials[bug.problem, -1].failed}
        own = [other for other in bugs if other.problem == bug.problem]  # what a grade looks through: see `trail.py`
        names = {found.id for found in diagnose(bug.problem, _killers(bug), ran, own).values()}
        named += names == {bug.id}
        misnamed += [f"{bug.id} is named {', '.join(sorted(names))}"] if names - {bug.id} else []

    killed = sum(bool(_killers(bug)) for bug in bugs)
    failed = sum(bool(trial.failed) for trial in trials.values())
    print(*complaints, *misnamed, sep="\n")
    print(f"misconceptions killed    {killed} of {len(bugs)}")
    print(f"rightly named            {named} of {len(recognisable)}, wrongly {len(misnamed)}")
    print(f"honest variants failed   {failed} of {len(trials)} (the reference included)")
    few = named < 0.95 * len(recognisable) or len(misnamed) > 0.01 * len(recognisable)
    return 1 if complaints or few else 0


def _killers(bug: KnownBug) -> dict:
    return dict(bug.evidence.get(bug.problem, {}))


def _honest_but_failed(trials: dict[tuple[str, int], Trial]) -> Iterator[str]:
    for (problem, index), trial in trials.items():
        name = "the reference" if index < 0 else honest_variants(problem)[index].id
        if trial.failed or not trial.passed:
            yield f"honest but failed: {name} of {problem} at {', '.join(trial.failed) or 'every test'}"


def _outdated(bugs: Sequence[KnownBug], problems: Sequence[str]) -> Iterator[str]:
    """Where the stored evidence is not what the catalogue gives now."""
    stored = {bug.id: bug for bug in load_known_bugs() if bug.problem in problems}
    for bug in bugs:
        kept = stored.pop(bug.id, None)
        if kept is None or (kept.diagnosis, kept.hint) != (bug.diagnosis, bug.hint) or not _same(kept, bug):
            yield f"outdated: {bug.id} in tests/fixtures/cases/misconceptions.msgpack: run `make fixtures`"
    yield from (f"outdated: {name} is stored, but not in the catalogue any more" for name in stored)


def _same(one: KnownBug, other: KnownBug) -> bool:
    return one.evidence.keys() == other.evidence.keys() and all(
        tests.keys() == other.evidence[problem].keys()
        and all(same_transcript(transcript, other.evidence[problem][test]) for test, transcript in tests.items())
        for problem, tests in one.evidence.items()
    )


if __name__ == "__main__":
    sys.exit(main())
