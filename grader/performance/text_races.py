"""Races between plain calls: training and encoding with BPE, on a CPU, with texts that nobody has seen.

A turn is one call. Every answer is compared with the reference's, so that a submission which remembers answers has to
remember the right ones, and texts do not come twice: lines of the fixtures in another order, for training with the
letters of the alphabet exchanged as well.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..cases.assets import load
from ..cases.compare import Mismatch, compare
from ..cases.fresh_text import shuffled_text, with_letters_exchanged
from ..scoring.races import RaceResult
from ..wall.walled import WalledSubmission
from .contestants import WrongAnswer
from .devices import CpuDevice
from .paired_turns import Turn, take_turns
from .racing import summed_up
from .statistics import Taken, Thresholds

END = "<|endoftext|>"


@dataclass(frozen=True)
class TextRace:
    """One operation on texts of one size.

    draw: the inputs of a seed; opening: (operation, arguments) of what is done once before, whose result is a handle
    that each call gets; work_bytes: how much text a call goes through.
    """

    problem: str
    tensors: str
    operation: str
    draw: Callable[[int], dict[str, Any]]
    work_bytes: int
    thresholds: Thresholds
    opening: tuple[str, dict[str, Any]] | None = None

    @property
    def id(self) -> str:
        return f"{self.problem}: {self.tensors}"


def train_bpe_races() -> Iterator[TextRace]:
    size, vocab_size = 200_000, 1_000

    def draw(seed: int) -> dict[str, Any]:
        corpus = with_letters_exchanged(shuffled_text(seed, size), seed)
        return {"corpus": corpus.encode(), "vocab_size": vocab_size, "special_tokens": [END]}

    yield TextRace(
        "train_bpe_speed",
        f"{size // 1000} kB of text, {vocab_size:,} tokens",
        "train_bpe",
        draw,
        size,
        Thresholds(full=5.0, none=40.0),
    )


def tokenizer_races() -> Iterator[TextRace]:
    size = 400_000
    merges = load("gpt2/merges")[:10_000]
    tokens = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
    tables = {"vocab": dict(enumerate(tokens)), "merges": merges, "special_tokens": None}
    yield TextRace(
        "tokenizer_speed",
        f"{size // 1000} kB of text, {len(merges):,} merges",
        "tokenizer_encode",
        lambda seed: {"text": shuffled_text(seed, size)},
        size,
        Thresholds(full=12.0, none=120.0),  # the reference encodes with numpy what is to be written as a loop
        opening=("open_tokenizer", tables),
    )


TEXT_RACES: dict[str, Callable[[], Iterator[TextRace]]] = {
    "train_bpe_speed": train_bpe_races,
    "tokenizer_speed": tokenizer_races,
}
"""{problem: its races}."""


def run_text_race(
    race: TextRace, student: WalledSubmission, reference: WalledSubmission, budget_s: float
) -> RaceResult:
    """Hold one race.

    Raises:
        WrongAnswer, Fault: when the submission is wrong or fails.
    """
    latest: dict[int, dict[WalledSubmission, Any]] = {}  # {seed: the answers to its inputs}, of one seed only
    handles: dict[WalledSubmission, dict[str, int]] = {student: {}, reference: {}}
    for contestant, handle in handles.items():
        contestant.load()
        if race.opening is not None:
            handle["handle"] = contestant.perform(*race.opening)
        contestant.pause()
    clock = CpuDevice()
    draw = functools.lru_cache(maxsize=1)(race.draw)  # both get the same

    def turn_of(contestant: WalledSubmission) -> Turn:
        def turn(seed: int) -> Taken:
            inputs = {**handles[contestant], **draw(seed)}
            reading = clock.begin(contestant)
            began = time.perf_counter()
            contestant.resume()
            try:
                answer = contestant.perform(race.operation, inputs)
                answered = time.perf_counter()
            finally:
                contestant.pause()
            seconds = clock.seconds_since(reading, contestant, answered)
            if seed not in latest:
                latest.clear()
            answers = latest.setdefault(seed, {})
            answers[contestant] = answer
            if len(answers) == 2:
                _compare(race, answers[reference], answers[student])
            return Taken(seconds, answered - began)

        return turn

    try:
        pairs = take_turns(
            turn_of(student),
            turn_of(reference),
            race.thresholds,
            chance=random.SystemRandom(),
            budget_s=budget_s,
            precision=0.05,
            most_pairs=24,
            warm_ups=1,
        )
        peaks = [contestant.peak_memory() / (1 << 20) for contestant in (student, reference)]
    finally:
        student.resume()
        reference.resume()
    return summed_up(
        race.problem,
        race.tensors,
        pairs,
        race.thresholds,
        1,
        work=float(race.work_bytes),
        unit="B",
        student_mib=peaks[0],
        reference_mib=peaks[1],
    )


def _compare(race: TextRace, expected: Any, actual: Any) -> None:
    try:
        compare(expected, actual)
    except Mismatch as mismatch:
        raise WrongAnswer(f"{race.tensors}: a timed call was wrong. {mismatch.message}") from None
