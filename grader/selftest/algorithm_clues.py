"""What the sources of clues say of wrong variants of the reference: `python -m grader.selftest.algorithm_clues ID ...`.

A variant is planted, its problem's tests are run in this process, and the sources are asked about its failures as if no
known bug explained any. Whether what they say is true a person has decided once: `algorithm_clues.toml` has, for each
misconception that gets a clue, words that the clue must have. A clue without them is false; no clue is silence.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.diagnosis.algorithms import find_algorithm
from grader.diagnosis.clues import Source, find_clues
from grader.diagnosis.structure import find_structure
from grader.misconceptions.catalogue import Variant, load_catalogue
from grader.scoring.outcome import Clue
from grader.submission.in_process import InProcess
from grader.submission.interface import Submission
from grader.trials.trial import failures_of

SOURCES: tuple[Source, ...] = (find_structure, find_algorithm)
PROBLEMS = (
    *("train_bpe", "tokenizer", "adamw", "learning_rate_schedule", "gradient_clipping", "data_loading"),
    "checkpointing",
)
WORDS = Path(__file__).with_suffix(".toml")
_SLOW = (
    *("test_speed", "test_merges_look_at_what_they_change", "test_memory_does_not_grow", "test_reads_as_it_yields"),
    *(
        "test_encodes_as_gpt2_does",
        "test_from_files",
        "test_from_files_in_detail",
        "test_long_pretokens",
        "test_decodes",
    ),
    "test_a_long_document_is_cut_nowhere",
)
"""Claims that take seconds each, and of which no clue comes that no other gives."""


@dataclass(frozen=True)
class Said:
    """clues: {test: what was said of its failure}; failures: how many there were; seconds: that it took."""

    clues: dict[str, Clue]
    failures: int
    seconds: float

    @property
    def sentences(self) -> list[str]:
        return [sentence for clue in self.clues.values() for sentence in clue.says]


def said_of(variant: Variant, claims: Sequence[str] = ()) -> Said:
    """What is said of a variant of the reference."""
    with variant.planted():
        submission = InProcess(importlib.import_module("grader.trials.planted"))
        return said_of_submission(submission, variant.problem, claims)


def said_of_submission(submission: Submission, problem: str, claims: Sequence[str] = ()) -> Said:
    failures = failures_of(submission, problem, claims, left_out=_SLOW)
    start = time.perf_counter()
    clues = find_clues(failures, submission, SOURCES)
    return Said(clues, len(failures), time.perf_counter() - start)


def measured(problems: Sequence[str] = PROBLEMS) -> Iterator[tuple[str, str, Said]]:
    """(problem, id, what is said) for each misconception of these problems."""
    for problem in problems:
        for misconception in load_catalogue(problem):
            yield problem, misconception.id, said_of(misconception)


def verdict(id: str, said: Said, words: dict[str, str]) -> str:
    """ "true", "false", "silent", or "passes" where no test failed."""
    if not said.failures:
        return "passes"
    if not said.sentences:
        return "silent"
    return "true" if id in words and words[id] in " ".join(said.sentences) else "false"


def words_of_clues() -> dict[str, str]:
    """{id of a misconception: words that its clue must have}"""
    return tomllib.loads(WORDS.read_text("utf-8")) if WORDS.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="*", default=PROBLEMS)
    parser.add_argument("--verbose", action="store_true", help="print what is said")
    arguments = parser.parse_args()
    counted: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    seconds: dict[str, list[float]] = collections.defaultdict(list)
    words = words_of_clues()
    for problem, id, said in measured(arguments.problems):
        what = verdict(id, said, words)
        counted[problem][what] += 1
        if said.failures:
            seconds[problem].append(said.seconds / said.failures)
        if arguments.verbose:
            print(f"{what:7} {id}  ({said.failures} failures, {said.seconds:.2f} s)")
            for test, clue in said.clues.items():
                print(f"          {test}")
                for sentence in clue.says:
                    print(f"            {sentence}")
    for problem, verdicts in counted.items():
        figures = ", ".join(f"{verdicts[what]} {what}" for what in ("true", "silent", "false", "passes"))
        print(f"{problem:24} {figures}; {max(seconds[problem], default=0):.2f} s a failure at most")


if __name__ == "__main__":
    main()
