"""How often the place of a planted mistake is found: `python -m grader.selftest.located [--problem ID ...]`.

Each misconception is planted into the reference, in this process, and the stored cases of its problem are asked until
one is answered wrongly enough. What `diagnosis/tracing.py` says of it is *located* when it points into the planted
code, *elsewhere* when into the reference, which is right. Whether it is the very line to read, `--verbose` shows.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..cases.store import asks_for_cases, stored_cases
from ..diagnosis.clues import Failure, size_of
from ..diagnosis.known_bugs import claim_of
from ..diagnosis.tracing import FORMULA_PROBLEMS, is_formula, locate
from ..kit.paths import KIT
from ..misconceptions.catalogue import Variant, load_catalogue
from ..scoring.outcome import Clue, Outcome, Result
from ..submission.files import Files
from ..submission.in_process import InProcess

_CLAIMS = 4


@dataclass(frozen=True)
class Trial:
    """What was said of one planted mistake. verdict: "located", "elsewhere", "unplaced" if no line is named, "silent",
    or "unseen" if no stored case with a formula shows it."""

    bug: str
    verdict: str
    clue: Clue | None
    seconds: float


def try_to_locate(variant: Variant) -> Trial:
    """Plant a mistake and look for it."""
    started = time.perf_counter()
    submission = InProcess(importlib.import_module("grader.reference.adapters"), files=Files(KIT))
    seen = False
    with variant.planted():
        for failure in failures(variant.problem, submission):
            seen = True
            if clue := locate(failure, submission):
                there = clue.file.startswith("grader/misconceptions/")
                verdict = "located" if there else "elsewhere" if clue.file else "unplaced"
                return Trial(variant.id, verdict, clue, time.perf_counter() - started)
    return Trial(variant.id, "silent" if seen else "unseen", None, time.perf_counter() - started)


def failures(problem: str, submission: InProcess) -> Iterator[Failure]:
    """The simplest failing case of each group of stored cases, as an examination would hand them on."""
    if not asks_for_cases(problem):
        return
    groups: dict[str, Failure] = {}
    for case in sorted(stored_cases(problem), key=lambda case: size_of(case.inputs)):
        if case.group in groups or not is_formula(case.operation):
            continue
        submission.begin_transcript()
        wrong = False
        try:
            answer = submission.perform(case.operation, case.inputs)
            with contextlib.redirect_stdout(None):
                case.check(answer)
        except Exception:
            wrong = True
        if wrong:
            test = f"test_{problem}.py::test_{case.group}[{case.id}]"
            asked, answers = tuple(submission.asked), tuple(submission.transcript or ())
            groups[case.group] = Failure(problem, Outcome(test, Result.FAIL), claim_of(test), case, asked, answers)
    yield from sorted(groups.values(), key=lambda failure: size_of(failure.asked))[:_CLAIMS]


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", nargs="+", default=FORMULA_PROBLEMS)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(arguments)
    for problem in options.problem:
        trials = [try_to_locate(variant) for variant in load_catalogue(problem)]
        counts = collections.Counter(trial.verdict for trial in trials)
        print(f"{problem}: {dict(counts)}, {sum(trial.seconds for trial in trials):.1f} s")
        for trial in trials if options.verbose else ():
            print(f"  {trial.verdict:9} {trial.bug}")
            if trial.clue:
                print(f"            {' '.join(trial.clue.says)}")
                for number, line in trial.clue.code:
                    print(f"            {'>' if number == trial.clue.line else ' '} {number} {line}")


if __name__ == "__main__":
    main()
