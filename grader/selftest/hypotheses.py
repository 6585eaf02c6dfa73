"""What the search for small changes of a formula says of wrong code, as if none of its bugs were known.

    python -m grader.selftest.hypotheses [--bank] [--problem ID ...] [--only PART]
    python -m grader.selftest.hypotheses --pairs N

Plants each misconception into the reference, or takes each submission of the bank, runs its problem's tests in this
process, and prints what is said of every failed claim that is looked into. Whether it is true is for a reader to judge.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import random
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ..diagnosis.clues import Failure, find_clues
from ..diagnosis.hypotheses.change import go_together, widened
from ..diagnosis.hypotheses.formulas import FORMULAS
from ..diagnosis.hypotheses.wrong_formula import WrongFormula
from ..misconceptions.catalogue import load_catalogue
from ..scoring.outcome import Outcome, Result
from ..submission.in_process import InProcess
from ..trials.trial import failures_of
from .diagnosis import entries

PROBLEMS = (
    "linear", "embedding", "softmax", "cross_entropy", "rmsnorm", "positionwise_feedforward", "rope",
    "scaled_dot_product_attention", "multihead_self_attention", "transformer_block", "transformer_lm", "decoding",
)  # fmt: skip


@dataclass(frozen=True)
class Said:
    """What was said of wrong code: {claim: sentences}, of those looked into; seconds: what the search took."""

    id: str
    what: str
    of: dict[str, tuple[str, ...]]
    seconds: float


def said_of(id: str, what: str, problem: str, adapters: Any) -> Said:
    """Run a problem's tests against wrong code, and search."""
    submission = InProcess(adapters)
    failures = failures_of(submission, problem)
    start = time.monotonic()
    clues = find_clues(failures, submission, [WrongFormula()])
    seconds = time.monotonic() - start
    return Said(id, what, {f.claim: clues[f.test].says if f.test in clues else () for f in failures}, seconds)


def of_catalogue(problem: str, only: str = "") -> Iterator[Said]:
    """What is said of the misconceptions of a problem whose id holds `only`."""
    for bug in load_catalogue(problem):
        if only in bug.id:
            with bug.planted():
                yield said_of(bug.id, bug.diagnosis, problem, importlib.import_module("grader.trials.planted"))


def of_bank(problem: str, only: str = "") -> Iterator[Said]:
    """What is said of the bank's wrong submissions for a problem."""
    for entry in entries([problem]):
        if only in entry.file:
            adapters = types.ModuleType("adapters")
            own = importlib.import_module(f"{__package__}.bank.{entry.name}")
            adapters.__dict__.update(vars(importlib.import_module("grader.reference.adapters")) | vars(own))
            yield said_of(entry.file, entry.what, problem, adapters)


def of_pairs(operation: str, count: int) -> Iterator[Said]:
    """What is said of two changes of a formula, drawn at random, that both show and go together."""
    given = FORMULAS.of[operation].draw(torch.Generator().manual_seed(5))[0]
    draw, drawn = random.Random(operation), 0
    for _ in range(50 * count):
        pair = tuple(draw.sample(FORMULAS.of[operation].changes, 2))
        if drawn == count:
            return
        adapters = types.ModuleType("adapters")
        adapters.__dict__.update(vars(importlib.import_module("grader.reference.adapters")))
        setattr(
            adapters, operation, lambda pair=pair, **own: _float32(FORMULAS.evaluate(operation, widened(own), pair)[0])
        )
        submission, question = InProcess(adapters), (operation, given)
        calls = []
        for hypothesis in (pair, pair[:1], pair[1:], ()):
            with contextlib.suppress(Exception):
                calls.append(_float32(FORMULAS.evaluate(operation, widened(given), hypothesis)[0]))
        shows = len(calls) == 4 and all(
            one.shape != calls[0].shape or not torch.allclose(one, calls[0], rtol=1e-2, equal_nan=True)
            for one in calls[1:]
        )
        if not shows or not go_together(*pair):
            continue
        drawn += 1
        failure = Failure(operation, Outcome("test", Result.FAIL), "test", None, (question,), (calls[0],))
        start = time.monotonic()
        clue = WrongFormula()(failure, submission)
        says = {"test::test": clue.says if clue else ()}
        yield Said(operation, "; and ".join(change.words for change in pair), says, time.monotonic() - start)


def _float32(value: torch.Tensor) -> torch.Tensor:
    return value.detach().float()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", nargs="+", default=PROBLEMS, choices=PROBLEMS, metavar="ID")
    parser.add_argument("--only", default="", help="wrong code whose id holds this")
    parser.add_argument("--bank", action="store_true", help="the bank's wrong submissions, not the catalogue")
    parser.add_argument("--pairs", type=int, default=0, help="so many random pairs of changes of each formula instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as in the examiner
    explained = silent = 0
    of = of_bank if arguments.bank else of_catalogue
    for subject in FORMULAS.of if arguments.pairs else arguments.problem:
        for said in of_pairs(subject, arguments.pairs) if arguments.pairs else of(subject, arguments.only):
            sentences = list(dict.fromkeys(sentence for found in said.of.values() for sentence in found))
            explained += bool(sentences)
            silent += not sentences
            print(f"{said.id}  ({len(said.of)} claims, {said.seconds:.1f} s)\n    is:   {said.what}")
            for sentence in sentences:
                claims = [claim.partition("::")[2] for claim, found in said.of.items() if sentence in found]
                print(f"    said: {sentence}  [{', '.join(claims)}]")
            if not sentences:
                print(f"    nothing, of {', '.join(claim.partition('::')[2] for claim in said.of)}")
    print(f"{explained} explained, {silent} silent")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
