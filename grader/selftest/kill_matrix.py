"""Does every known bug fail its problem's tests, every honest variant pass them, and every bug get its name?

    python -m grader.selftest.kill_matrix [--problem ID ...] [--verbose]
    python -m grader.selftest.kill_matrix --quick

Runs on stored cases, with each variant planted into the reference in turn. A misconception is also tried on the
problems that build on its own, and on all others whose tests run what it replaces: these it must not fail. Beside what
is wrong it prints the figures that the catalogue promises: how many bugs are killed, how many of them the stored
evidence names, rightly or not, and how many would get another's name if they were not in the catalogue. And it says
what share of a problem's points each bug costs: none may be free but what only advice notices, and none dearer than
the rubric's `one_bug`, unless the catalogue says that it leaves nothing right.

`--quick` takes minutes less: of each misconception's record it repeats one test, which must fail with the same
fingerprints; honest variants and the reference are tried in full. It cannot see which name a bug gets, and leaves out
problems whose tests train, unless they are named.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence

from grader.diagnosis.known_bugs import KnownBug, Transcript, diagnose, known_bug, load_known_bugs, same_transcript
from grader.misconceptions.catalogue import Variant, load_catalogue
from grader.scoring.rubric import load_rubric
from grader.trials.evidence import (
    UNRECOGNISABLE,
    building_on,
    gather_evidence,
    in_processes,
    problems_with_misconceptions,
)
from grader.trials.trial import Trial, first_failure, try_variant

from .costs import costs
from .reach import Reach, reach_of

Evidence = Mapping[str, Mapping[str, Transcript]]

_NAMED, _MISNAMED, _GUESSED = 0.95, 0.01, 0.01
"""Least share of bugs that get their own name, and largest of those that get another's: known, and unknown."""


_BUILDS_ON = {"test_decoding.py::test_own_model": "transformer_lm"}
"""{claim: what it builds on, in a problem that otherwise does not}."""


def honest_variants(problem: str) -> tuple[Variant, ...]:
    """Correct implementations of one problem, written differently."""
    try:
        return importlib.import_module(f"grader.selftest.honest.{problem}").VARIANTS
    except ModuleNotFoundError:
        return ()


def try_honest(problem: str, index: int) -> Trial:
    """Run a problem's tests on one of its honest variants, or on the reference (-1)."""
    variant = honest_variants(problem)[index] if index >= 0 else Variant("the reference", problem, {})
    return try_variant(variant, problem)[problem]


def try_first(problem: str, index: int, test: str) -> dict:
    """The first failure of a misconception among the tests of its problem, or of this one test alone."""
    return first_failure(load_catalogue(problem)[index], problem, [test] if test else ())


def try_elsewhere(problem: str, index: int, others: tuple[str, ...]) -> list[str]:
    """Run the tests of problems that have nothing to do with a misconception; ids of those that fail."""
    trials = try_variant(load_catalogue(problem)[index], problem, *others)
    return [test for other in others for test in trials[other].failed]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is judged wrongly, and the figures; exit code 1 when anything is."""
    parser = argparse.ArgumentParser("python -m grader.selftest.kill_matrix", description=__doc__)
    parser.add_argument("--problem", nargs="+", default=None, help="only these problems")
    parser.add_argument("--verbose", action="store_true", help="name the tests that kill each misconception")
    parser.add_argument("--processes", type=int, default=None, help="side by side (default: one per processor)")
    parser.add_argument("--quick", action="store_true", help="one test for each misconception, and no figures on names")
    options = parser.parse_args(arguments)
    if options.quick:
        quick = [problem for problem in problems_with_misconceptions() if problem not in UNRECOGNISABLE]
        return _quick(options.problem or quick, options.processes)
    covered = problems_with_misconceptions()
    problems = options.problem or covered

    ran = [(problem,) for problem in covered if problem in problems or problem not in UNRECOGNISABLE]
    found = in_processes(reach_of, ran, "reference", options.processes)
    on_reference = {problem: trial_and_reach for (problem,), trial_and_reach in zip(ran, found, strict=True)}
    honest = [(problem, i) for problem in problems for i in range(len(honest_variants(problem)))]
    trials = dict(zip(honest, in_processes(try_honest, honest, "honest variants", options.processes), strict=True))
    trials |= {(problem, -1): on_reference[problem][0] for problem in problems}
    bugs = [known_bug(record) for record in gather_evidence(problems, options.processes)]
    recognisable = [bug for bug in bugs if bug.problem not in UNRECOGNISABLE]
    # A training run uses everything, so that there nothing is unrelated.
    apart = {problem: reach for problem, (_, reach) in on_reference.items() if problem not in UNRECOGNISABLE}
    elsewhere = _elsewhere(problems, apart)
    strays = in_processes(try_elsewhere, elsewhere, "unrelated problems", options.processes)

    complaints = [
        *_honest_but_failed(trials),
        *(
            f"survives: {_numbered(bug, form)} fails no test of {bug.problem}"
            for bug in bugs
            for form, look in enumerate(bug.every_form)
            if not look.evidence.get(bug.problem)
        ),
        *_strays(elsewhere, strays),
        *_outdated(recognisable, problems),
    ]
    prices = costs(load_rubric(), [problem for problem in problems if problem not in UNRECOGNISABLE], recognisable)
    complaints += [cost.complaint for cost in prices if cost.complaint]
    if options.verbose:
        share = {cost.bug: f" costs {cost.share:.0%}" for cost in prices}
        for bug in bugs:
            print(f"{bug.id}{share.get(bug.id, '')}: {' '.join(_killers(bug))}")
    named, misnamed, unknown = 0, [], []
    for bug in recognisable:
        tests = {*trials[bug.problem, -1].passed, *trials[bug.problem, -1].failed}
        # What a grade looks through: see `diagnosis/attribution.py`.
        own = [other for other in bugs if other.problem == bug.problem]
        names = _names(bug, tests, own)
        named += names == {bug.id}
        misnamed += [f"misnamed: {bug.id} as {', '.join(sorted(names))}"] if names - {bug.id} else []
        if others := _names(bug, tests, [other for other in own if other is not bug]):
            unknown.append(f"were it unknown, {bug.id} would be named {', '.join(sorted(others))}")

    killed = sum(bool(_killers(bug)) for bug in bugs)
    failed = sum(bool(trial.charged) for trial in trials.values())
    print(*complaints, *misnamed, *unknown, sep="\n")
    print(f"misconceptions killed     {killed} of {len(bugs)}")
    print(f"honest variants failed    {failed} of {len(trials)} (the reference included)")
    print(f"rightly named             {named} of {len(recognisable)}, wrongly {len(misnamed)}")
    print(f"wrongly named if unknown  {len(unknown)} of {len(recognisable)}")
    print(f"what a bug costs          {_spread([cost.share for cost in prices if not cost.throughout])}")
    print(f"tried on unrelated tests  {len(elsewhere)}; all others replace what no unrelated test runs")
    shares = [count / max(len(recognisable), 1) for count in (named, len(misnamed), len(unknown))]
    good = shares[0] >= _NAMED and shares[1] <= _MISNAMED and shares[2] <= _GUESSED
    return 0 if (good or not recognisable) and not complaints else 1


def _quick(problems: Sequence[str], processes: int | None) -> int:
    """Whether every bug still fails as its record says, and nothing honest fails; returns the exit code."""
    stored = {bug.id: bug for bug in load_known_bugs() if bug.problem in problems}
    catalogue = [(problem, i, bug) for problem in problems for i, bug in enumerate(load_catalogue(problem))]
    jobs = [
        (problem, i, next(iter(_killers(stored[bug.id])), "") if bug.id in stored else "")
        for problem, i, bug in catalogue
    ]
    failures = in_processes(try_first, jobs, "misconceptions", processes)
    honest = [(problem, i) for problem in problems for i in range(-1, len(honest_variants(problem)))]
    trials = dict(zip(honest, in_processes(try_honest, honest, "honest variants", processes), strict=True))
    complaints = [*_honest_but_failed(trials)]
    for (problem, _, test), (_, _, bug), failure in zip(jobs, catalogue, failures, strict=True):
        if not failure:
            complaints.append(f"survives: {bug.id} does not fail {test or f'any test of {problem}'}")
        elif problem in UNRECOGNISABLE:
            continue
        elif not test or (stored[bug.id].diagnosis, stored[bug.id].hint) != (bug.diagnosis, bug.hint):
            complaints.append(f"outdated: {bug.id} in tests/fixtures/cases/misconceptions.msgpack: run `make fixtures`")
        elif not same_transcript(_killers(stored[bug.id])[test], failure[test]):
            complaints.append(f"outdated: {bug.id} fails {test} in another way than is stored: run `make fixtures`")
    known = {bug.id for _, _, bug in catalogue}
    complaints += [
        f"outdated: {name} is stored, but not in the catalogue any more" for name in stored if name not in known
    ]
    print(*complaints, sep="\n")
    print(f"misconceptions killed   {sum(map(bool, failures))} of {len(failures)}")
    failed = sum(bool(trial.charged) for trial in trials.values())
    print(f"honest variants failed  {failed} of {len(trials)} (the reference included)")
    return int(bool(complaints))


def _strays(elsewhere: Sequence[tuple[str, int, tuple[str, ...]]], strays: Sequence[list[str]]) -> Iterator[str]:
    above = building_on()
    for (problem, index, _), failed in zip(elsewhere, strays, strict=True):
        for test in failed:
            if _BUILDS_ON.get(test.partition("[")[0]) not in (problem, *above[problem]):
                bug = load_catalogue(problem)[index].id
                yield f"strays: {bug} fails {test}, which does not build on {problem}"


def _names(bug: KnownBug, ran: set[str], known: Sequence[KnownBug]) -> set[str]:
    """What a submission with this bug, and with no other, would be told that it has."""
    return {found.id for found in diagnose(bug.problem, _killers(bug), ran, known).values()}


def _elsewhere(problems: Sequence[str], reach: Mapping[str, Reach]) -> list[tuple[str, int, tuple[str, ...]]]:
    """(problem, index of a misconception, the problems unrelated to it whose tests run what it replaces)."""
    above = building_on()
    found = []
    for problem in problems:
        for index, misconception in enumerate(load_catalogue(problem)):
            unrelated = [other for other in reach if other != problem and other not in above[problem]]
            if others := tuple(other for other in unrelated if reach[other].includes(misconception)):
                found.append((problem, index, others))
    return found


def _spread(shares: Sequence[float]) -> str:
    if not shares:
        return "nothing is priced"
    middle = statistics.median(shares)
    return f"{min(shares):.0%} to {max(shares):.0%} of its problem's points, in the middle {middle:.0%}"


def _numbered(bug: KnownBug, form: int) -> str:
    return f"form {form} of {bug.id}" if form else bug.id


def _killers(bug: KnownBug) -> dict:
    return dict(bug.evidence.get(bug.problem, {}))


def _honest_but_failed(trials: dict[tuple[str, int], Trial]) -> Iterator[str]:
    for (problem, index), trial in trials.items():
        name = "the reference" if index < 0 else honest_variants(problem)[index].id
        if trial.charged or not trial.passed:
            yield f"honest but failed: {name} of {problem} at {', '.join(trial.charged) or 'every test'}"


def _outdated(bugs: Sequence[KnownBug], problems: Sequence[str]) -> Iterator[str]:
    """Where the stored evidence is not what the catalogue gives now."""
    stored = {bug.id: bug for bug in load_known_bugs() if bug.problem in problems}
    for bug in bugs:
        kept = stored.pop(bug.id, None)
        if kept is None or (kept.diagnosis, kept.hint) != (bug.diagnosis, bug.hint) or not _same(kept, bug):
            yield f"outdated: {bug.id} in tests/fixtures/cases/misconceptions.msgpack: run `make fixtures`"
    yield from (f"outdated: {name} is stored, but not in the catalogue any more" for name in stored)


def _same(one: KnownBug, other: KnownBug) -> bool:
    looks = zip(one.every_form, other.every_form, strict=False)
    return len(one.forms) == len(other.forms) and all(
        _same_evidence(first.evidence, second.evidence) for first, second in looks
    )


def _same_evidence(one: Evidence, other: Evidence) -> bool:
    return one.keys() == other.keys() and all(
        tests.keys() == other[problem].keys()
        and all(same_transcript(transcript, other[problem][test]) for test, transcript in tests.items())
        for problem, tests in one.items()
    )


if __name__ == "__main__":
    sys.exit(main())
