"""What the search for small changes of a formula says of the catalogue's bugs, as if none of them were known.

    python -m grader.selftest.hypotheses [--problem ID ...] [--verbose]

Plants each misconception into the reference, in this process, runs its problem's tests, and prints what is said of
every failed claim that is looked into. Whether it is true is for a reader to judge.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from ..cases.case import Case
from ..diagnosis.attribution import Attribution
from ..diagnosis.clues import Failure, find_clues
from ..diagnosis.hypotheses.wrong_formula import WrongFormula
from ..examination.pytest_plugin import PYTEST_OPTIONS, SUBMISSION, draw_no_tracebacks, problem_of
from ..kit.paths import TESTS
from ..misconceptions.catalogue import Variant, load_catalogue
from ..scoring.outcome import Outcome, Result
from ..submission.in_process import InProcess

PROBLEMS = (
    "linear", "embedding", "softmax", "cross_entropy", "rmsnorm", "positionwise_feedforward", "rope",
    "scaled_dot_product_attention", "multihead_self_attention", "transformer_block", "transformer_lm", "decoding",
)  # fmt: skip


@dataclass(frozen=True)
class Said:
    """What was said of a variant: {claim: sentences}, of those looked into; seconds: what the search took."""

    variant: Variant
    of: dict[str, tuple[str, ...]]
    seconds: float


class _Follower:
    """A pytest plugin that lets an `Attribution` follow the tests of a submission in this process."""

    def __init__(self, submission: InProcess, attribution: Attribution) -> None:
        self.submission, self.attribution = submission, attribution

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[SUBMISSION] = self.submission
        draw_no_tracebacks(config)

    def pytest_runtest_setup(self) -> None:
        self.submission.begin_transcript()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "call" and report.failed:
            callspec = getattr(item, "callspec", None)
            case: Case | None = callspec.params.get("case") if callspec else None
            outcome = Outcome(f"{item.path.name}::{item.name}", Result.FAIL)
            self.attribution.follow(problem_of(item.path), outcome, case, self.submission)
        return report


def failures_in_process(adapters: Any, problems: Sequence[str]) -> tuple[list[Failure], InProcess]:
    """The failures of a submission that are looked into, on stored cases, and the submission to ask again."""
    submission = InProcess(adapters)
    attribution = Attribution(dict.fromkeys(problems, ()))
    files = [str(TESTS / f"test_{problem}.py") for problem in problems]
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*PYTEST_OPTIONS, *files], plugins=[_Follower(submission, attribution)])
    return attribution.failures({}), submission


def said_of(variant: Variant) -> Said:
    """Plant a variant, run its problem's tests, and search."""
    with variant.planted():
        adapters = importlib.import_module("grader.trials.planted")
        failures, submission = failures_in_process(adapters, [variant.problem])
        start = time.monotonic()
        clues = find_clues(failures, {}, submission, [WrongFormula()])
        seconds = time.monotonic() - start
    said = {failure.claim: clues[failure.test].says if failure.test in clues else () for failure in failures}
    return Said(variant, said, seconds)


def of_catalogue(problems: Sequence[str]) -> Iterator[Said]:
    """What is said of every misconception of these problems."""
    for problem in problems:
        for misconception in load_catalogue(problem):
            yield said_of(misconception)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", nargs="+", default=PROBLEMS, choices=PROBLEMS, metavar="ID")
    parser.add_argument("--only", default="", help="misconceptions whose id holds this")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as in the examiner
    explained = silent = 0
    for problem in arguments.problem:
        for misconception in load_catalogue(problem):
            if arguments.only not in misconception.id:
                continue
            said = said_of(misconception)
            sentences = list(dict.fromkeys(sentence for found in said.of.values() for sentence in found))
            explained += bool(sentences)
            silent += not sentences
            print(
                f"{misconception.id}  ({len(said.of)} claims, {said.seconds:.1f} s)\n"
                f"    is:   {misconception.diagnosis}"
            )
            for sentence in sentences:
                claims = [claim.partition("::")[2] for claim, found in said.of.items() if sentence in found]
                print(f"    said: {sentence}  [{', '.join(claims)}]")
            if not sentences:
                print(f"    nothing, of {', '.join(claim.partition('::')[2] for claim in said.of)}")
    print(f"{explained} explained, {silent} silent")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
