"""Does every bug get its name, does none get another's, and what is made of wrong code that nobody foresaw?

    python -m grader.selftest.diagnosis [--problem ID ...] [--pairs N] [--seed N]
    python -m grader.selftest.diagnosis --quick
    python -m grader.selftest.diagnosis --bank [ENTRY ...]

Without `--bank` it measures on the kit's own catalogue:

- Left one out: each misconception, and each of its further forms, is taken for a bug that nobody foresaw. What would it
  be called? This is read from the stored evidence.
- Pairs: two misconceptions of one problem, drawn at random among those that one program can have at once and that do
  not hide each other, are planted together, and the problem's tests run.
- Honest: the reference and right code that is written differently must be told nothing that costs points.

`--quick` takes a few cheap problems and pairs, in under a minute of one core.

`--bank` grades the wrong submissions of `grader/selftest/bank/`, which somebody wrote without knowing the catalogue,
and prints what each is told. Whether a name is true only a person can say: `bank/judged.toml` keeps that.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import random
import shutil
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from grader.diagnosis.attribution import Attribution
from grader.diagnosis.known_bugs import KnownBug, Transcript, diagnose, load_known_bugs, same_transcript
from grader.diagnosis.planting import can_be_together
from grader.grading import grade
from grader.kit.paths import KIT
from grader.misconceptions.catalogue import Variant, load_catalogue
from grader.misconceptions.together import together
from grader.report.model import ProblemReport
from grader.scoring.outcome import Clue
from grader.scoring.rubric import load_rubric
from grader.trials.evidence import UNRECOGNISABLE, in_processes, problems_with_misconceptions
from grader.trials.trial import try_variant

from .forked import ForkedExaminer
from .kill_matrix import honest_variants

MISNAMED, BOTH_NAMED = 0.01, 0.6
"""Largest share of unforeseen bugs, and of pairs, that may get a wrong name; least share of pairs that gets both."""

QUICK = ("softmax", "rmsnorm", "rope", "cross_entropy", "gradient_clipping", "learning_rate_schedule", "linear")
_QUICK_PAIRS = 14

BANK = KIT / "grader" / "selftest" / "bank"
_NEAR = 2
"""A line is right that is not farther from one of the entry's."""


@dataclass(frozen=True)
class LeftOut:
    """What a misconception would be called: with all of the catalogue at hand, and without itself."""

    bug: str
    named: frozenset[str]
    unforeseen: frozenset[str]


@dataclass(frozen=True)
class Pair:
    """What two bugs at once are called; hidden: whether the program fails as with one of them alone."""

    bugs: tuple[str, str]
    named: frozenset[str]
    hidden: bool

    @property
    def are_both_named(self) -> bool:
        return set(self.bugs) <= self.named

    @property
    def wrong(self) -> frozenset[str]:
        return self.named - set(self.bugs)


def left_out(problems: Sequence[str], operations: Mapping[str, Mapping[str, str]]) -> list[LeftOut]:
    """Each misconception of these problems, by the stored evidence.

    Args:
        operations: {problem: {test: what it asks for}} for all of their tests, as `tried` gives it.
    """
    found = []
    for problem in problems:
        known = [bug for bug in load_known_bugs() if bug.problem == problem]
        for bug in known:
            others = [other for other in known if other is not bug]
            failing = bug.evidence.get(problem, {})
            named, unforeseen = (_named(problem, failing, operations[problem], bugs) for bugs in (known, others))
            found.append(LeftOut(bug.id, named, unforeseen))
    return found


def _named(
    problem: str, failing: Mapping[str, Transcript], ran: Mapping[str, str], bugs: Sequence[KnownBug]
) -> frozenset[str]:
    return frozenset(bug.id for bug in diagnose(problem, failing, ran, bugs).values())


def draw_pairs(problems: Sequence[str], count: int, seed: int = 0) -> list[tuple[str, int, int]]:
    """(problem, places in its catalogue) of pairs that one program can have, the problems in turn."""
    drawn: list[list[tuple[str, int, int]]] = []
    for problem in problems:
        order = random.Random(f"{seed} {problem}")
        numbers = list(itertools.combinations(range(len(load_catalogue(problem))), 2))
        order.shuffle(numbers)
        fitting = ((problem, i, j) for i, j in numbers if can_be_together(_variants(problem, i, j)))
        drawn.append(list(itertools.islice(fitting, 1 + count // max(1, len(problems)) * 3)))
    in_turn = [pair for turn in itertools.zip_longest(*drawn) for pair in turn if pair is not None]
    return in_turn[:count]


def _variants(problem: str, *places: int) -> list[Variant]:
    return [load_catalogue(problem)[place] for place in places]


def try_pair(problem: str, first: int, second: int) -> Pair:
    """Plant both and do what a grade does."""
    bugs = load_catalogue(problem)[first].id, load_catalogue(problem)[second].id
    attribution = Attribution({problem: ()})
    failed = try_variant(together(_variants(problem, first, second)), problem, attribution=attribution)[problem].failed
    alone = [bug.evidence.get(problem, {}) for bug in load_known_bugs() if bug.id in bugs]
    hidden = any(
        failed.keys() == evidence.keys() and all(same_transcript(failed[test], evidence[test]) for test in failed)
        for evidence in alone
    )
    return Pair(bugs, frozenset(explanation.bug for explanation in attribution.explain().values()), hidden)


def tried(problem: str, honest: int) -> tuple[str, frozenset[str], Mapping[str, str]]:
    """An honest variant, or the reference (-1): who it is, the bugs that it is charged with, and what tests ask for."""
    variant = honest_variants(problem)[honest] if honest >= 0 else Variant("the reference", problem, {})
    attribution = Attribution({problem: ()})
    charging = try_variant(variant, problem, attribution=attribution)[
        problem
    ].charged  # advice may name what it is about
    charged = frozenset(explanation.bug for test, explanation in attribution.explain().items() if test in charging)
    return f"{variant.id} of {problem}", charged, attribution.asked_for(problem)


def measure(
    problems: Sequence[str], pairs: int, seed: int, processes: int | None, honest: bool = True
) -> Iterator[str]:
    """Print the figures; yields what is out of bounds."""
    wanted = [(problem, i) for problem in problems for i in range(-1, len(honest_variants(problem)) if honest else 0)]
    trials = dict(zip(wanted, in_processes(tried, wanted, "honest", processes), strict=True))
    operations = {problem: trials[problem, -1][2] for problem in problems}
    looks = left_out(problems, operations)
    guessed = [look for look in looks if look.unforeseen]
    tries = in_processes(try_pair, draw_pairs(problems, pairs, seed), "pairs", processes)
    shown = [pair for pair in tries if not pair.hidden]
    misnamed = [pair for pair in shown if pair.wrong]
    claims = [(who, charged) for who, charged, _ in trials.values() if charged]

    for look in guessed:
        print(f"were it unknown, {look.bug} would be named {', '.join(sorted(look.unforeseen))}")
    for pair in shown:
        if pair.wrong or not pair.are_both_named:
            print(f"{' + '.join(pair.bugs)}: named {', '.join(sorted(pair.named)) or 'nothing'}")
    rightly = sum(look.named == {look.bug} for look in looks)
    both = sum(pair.are_both_named for pair in shown)
    print(f"rightly named              {rightly} of {len(looks)}")
    print(f"falsely named if unknown   {len(guessed)} of {len(looks)} (at most {MISNAMED:.0%})")
    # What is located without a name is measured where code runs that nobody foresaw: see `--bank`.
    print(f"both of a pair named       {both} of {len(shown)} (at least {BOTH_NAMED:.0%}; {len(tries)} drawn)")
    print(f"a pair falsely named       {len(misnamed)} of {len(shown)} (at most {MISNAMED:.0%})")
    print(f"honest code told anything  {len(claims)} of {len(trials)}")

    yield from (f"{who} is told of {', '.join(sorted(charged))}" for who, charged in claims)
    if len(guessed) > MISNAMED * len(looks):
        yield f"{len(guessed)} of {len(looks)} unforeseen bugs get another's name"
    if both < BOTH_NAMED * len(shown):
        yield f"of {len(shown)} pairs only {both} are both named"
    if len(misnamed) > MISNAMED * len(shown):
        yield f"{len(misnamed)} of {len(shown)} pairs get a wrong name"


# --- the bank --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A wrong submission of the bank.

    what: is wrong; lines: where; bugs: how many; also: further problems that it is graded on.
    """

    file: str
    problem: str
    what: str
    lines: tuple[int, ...]
    bugs: int
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.file.removesuffix(".py")


@dataclass(frozen=True)
class Told:
    """What a report tells the author of a wrong submission.

    caught: whether a claim that counts failed; names: ids of known bugs; clues: what was found out beside.
    """

    caught: bool
    names: tuple[str, ...]
    clues: tuple[Clue, ...]

    def located(self, entry: Entry) -> Literal["line", "call", "elsewhere"] | None:
        """Whether a line of the file that is pointed at, or a call that led there, is one of those that are wrong.

        None where no line is pointed at.
        """
        ways = [
            [any(abs(line - wrong) <= _NEAR for wrong in entry.lines) for file, line in clue.way]
            for clue in self.clues
            if clue.file.endswith(entry.file)
        ]
        if not ways:
            return None
        return "line" if any(way[0] for way in ways) else "call" if any(map(any, ways)) else "elsewhere"


def entries(problems: Sequence[str] | None = None, names: Sequence[str] = ()) -> list[Entry]:
    """Those of these problems and names; all by default."""
    records = tomllib.loads((BANK / "bank.toml").read_text("utf-8"))["entry"]
    every = [Entry(**{**record, "lines": tuple(record["lines"]), "also": tuple(record["also"])}) for record in records]
    return [
        entry
        for entry in every
        if (problems is None or entry.problem in problems) and (not names or entry.name in names)
    ]


@cache
def judged() -> dict[str, dict[str, bool]]:
    """{entry: {id of a known bug: whether an entry with this name is told the truth}}, as a person has judged it."""
    path = BANK / "judged.toml"
    return tomllib.loads(path.read_text("utf-8")) if path.exists() else {}


def submission_of(entry: Entry, folder: Path) -> Path:
    """The reference as a submission, with the adapters that the entry's file defines in the place of its own."""
    shutil.copytree(KIT / "grader" / "reference", folder / "grader" / "reference")
    source = (BANK / entry.file).read_text("utf-8")
    shutil.copy(BANK / entry.file, folder / entry.file)
    tree = ast.parse(source)
    defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    defined += [
        target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
        if isinstance(target, ast.Name)
    ]  # fmt: skip
    adapters = [name for name in defined if name.startswith(("run_", "get_"))]
    (folder / "adapters.py").write_text(
        f"from grader.reference.adapters import *\nfrom {entry.name} import {', '.join(adapters)}\n", "utf-8"
    )
    return folder


def tell(entry: Entry) -> Told:
    """Grade an entry behind the wall."""
    rubric = load_rubric()
    with tempfile.TemporaryDirectory() as folder:
        root = submission_of(entry, Path(folder))
        wanted = rubric.select([entry.problem, *entry.also])
        report = grade(str(root), rubric, wanted, isolation="process", jobs=1, launch=ForkedExaminer)
        tests = [test for problem in report.problems for test in problem.tests]
        bugs = [test.bug for test in tests if test.bug]
        names = {bug.id for bug in bugs if bug.problem in (entry.problem, *entry.also)}
        clues = dict.fromkeys(test.clue for test in tests if test.clue)
        return Told(any(map(_is_caught, report.problems)), tuple(sorted(names)), tuple(clues))


def _is_caught(problem: ProblemReport) -> bool:
    return problem.score.earned < problem.problem.points or bool(problem.advice)


def describe(entry: Entry, told: Told) -> Iterator[str]:
    """What an entry is told, quick to read beside what is wrong with it."""
    words = {bug.id: bug.diagnosis for bug in load_known_bugs()}
    verdicts = judged().get(entry.name, {})
    yield f"{entry.name}{'' if told.caught else '  NOT CAUGHT'}"
    yield f"    wrong    {entry.what}"
    for name in told.names:
        verdict = {True: "true", False: "FALSE", None: "to be judged"}[verdicts.get(name)]
        yield f"    name     {name} ({verdict}): {words[name]}"
    for clue in told.clues:
        place = " < ".join(f"{file}:{line}" for file, line in clue.way) + " " if clue.file else ""
        yield f"    clue     {place}{' '.join(clue.says)}"
    if (found := told.located(entry)) is not None:
        right = {"line": "right", "call": "right among the calls", "elsewhere": "WRONG"}[found]
        yield f"    line     {right} (it is {', '.join(map(str, entry.lines))})"


def go_through_bank(chosen: Sequence[Entry]) -> Iterator[str]:
    """Print what each entry is told, and the figures; yields names that nobody has judged, and false ones."""
    count: Counter[str | None] = Counter()
    for entry in chosen:
        told = tell(entry)
        print(*describe(entry, told), sep="\n", flush=True)
        verdicts = judged().get(entry.name, {})
        unjudged = [name for name in told.names if name not in verdicts]
        false = [name for name in told.names if verdicts.get(name) is False]
        located = told.located(entry)
        count["caught"] += told.caught
        count["named"] += any(verdicts.get(name) for name in told.names)
        count["falsely"] += bool(false)
        count[located] += 1
        count["either"] += located in ("line", "call") or any(verdicts.get(name) for name in told.names)
        count["clue"] += bool(told.clues)
        yield from (f"{entry.name} is named {name}: judge it in grader/selftest/bank/judged.toml" for name in unjudged)
        yield from (f"{entry.name} is falsely named {name}" for name in false)
    print(f"caught                {count['caught']} of {len(chosen)}")
    print(f"truly named           {count['named']}, falsely {count['falsely']}")
    print(
        f"told more than names  {count['clue']}; a right line {count['line']}, one that the right line calls "
        f"{count['call']}, a wrong one {count['elsewhere']}"
    )
    print(f"named or located      {count['either']} of {len(chosen)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; exit code 1 when one is out of bounds, or a name is false or not judged."""
    parser = argparse.ArgumentParser(
        "python -m grader.selftest.diagnosis", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", nargs="+", default=None, help="only these problems")
    parser.add_argument("--pairs", type=int, default=300, help="how many pairs to plant (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the pairs (default: 0)")
    parser.add_argument("--processes", type=int, default=None, help="side by side (default: one per processor)")
    parser.add_argument("--quick", action="store_true", help="a fixed sample")
    parser.add_argument("--bank", nargs="*", default=None, metavar="ENTRY", help="the bank, or these entries of it")
    options = parser.parse_args(arguments)
    if options.bank is not None:
        complaints = list(go_through_bank(entries(options.problem, options.bank)))
    else:
        every = [problem for problem in problems_with_misconceptions() if problem not in UNRECOGNISABLE]
        problems = options.problem or (list(QUICK) if options.quick else every)
        pairs = _QUICK_PAIRS if options.quick else options.pairs
        complaints = list(measure(problems, pairs, options.seed, options.processes, honest=not options.quick))
    print(*complaints, sep="\n")
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
