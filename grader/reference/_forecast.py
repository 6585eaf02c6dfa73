"""How long a training will take, and how much memory, from its first per cent. Only what the commands print uses it."""

import math
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .bpe import _learn_merges
from .config import TrainConfig
from .pretokenization import _count_share, _useful_processes

_WORTH_ITS_TIME = 100_000_000
"""Bytes of text below which BPE training ends before a forecast would help."""

_WORTH_SAYING_S = 30.0

_PLACE_BYTES, _PRETOKEN_BYTES = 110, 200
"""Of memory for each byte of a distinct pre-token (the arrays of `bpe._Corpus`), and for a pre-token as a key."""

_FORWARD_SHARE = 1 / 3
"""Of a step's time: the backward pass takes twice that of the forward pass."""


@dataclass(frozen=True)
class _Forecast:
    """seconds: from now to the end; memory: bytes, at the peak."""

    seconds: float
    memory: int

    def __str__(self) -> str:
        return f"about {_duration(self.seconds)}, and {_size(self.memory)} of memory"


def _of_bpe(path: Path, vocab_size: int, special_tokens: list[str]) -> _Forecast | None:
    """Train on the first per cent of a text and project; None where the text is small.

    Counting takes time in proportion to the text. Learning merges takes it in proportion to the distinct pre-tokens, of
    which there are ever fewer new ones: if twice the text has q times as many, n times the text has n^log2(q) times as
    many (Heaps' law, which the two halves of the per cent are enough to fit). The exponent falls as a text grows, so
    this is more than it will take.
    """
    size = path.stat().st_size
    if size < _WORTH_ITS_TIME:
        return None
    half = size // 200
    start = time.perf_counter()
    counts = _count_share(path, 0, half, special_tokens)
    few = _letters(counts)
    counts.update(_count_share(path, half, 2 * half, special_tokens))
    counting = (time.perf_counter() - start) * 100 / _useful_processes(path, None)
    many = _letters(counts)
    growth = 100 ** min(1.0, math.log2(many / few) if few else 1.0)
    start = time.perf_counter()
    _learn_merges(counts, vocab_size - len(special_tokens) - 256)
    learning = (time.perf_counter() - start) * growth
    arrays = growth * (many * _PLACE_BYTES + len(counts) * _PRETOKEN_BYTES)
    return _Forecast(counting + learning, _peak_memory() + int(arrays))


def _letters(counts: Counter[bytes]) -> int:
    return sum(map(len, counts))


class _Stopwatch:
    """Follows the first steps of a training run, and speaks once.

    Args:
        done: steps that an earlier run made.
    """

    def __init__(self, config: TrainConfig, done: int) -> None:
        self._config = config
        self._first = done + 1
        self._last = done + max(3, math.ceil((config.steps - done) / 100))
        self._since = 0.0

    def after_step(self, step: int) -> str:
        """A sentence once a per cent is done and more than half a minute is to come; "" at all other steps.

        The first step is not counted: much is made in it that stays.
        """
        if step == self._first:
            self._since = time.perf_counter()
        if step != self._last:
            return ""
        one = (time.perf_counter() - self._since) / (step - self._first)
        forecast = _of_training(self._config, step, one, _peak_memory())
        return (
            f"{self._config.steps - step:,} more steps take {forecast}." if forecast.seconds > _WORTH_SAYING_S else ""
        )


def _of_training(config: TrainConfig, done: int, step_s: float, memory: int) -> _Forecast:
    """Steps as they were, and the evaluations between them; memory does not grow after the first steps."""
    evaluations = config.steps // config.eval_every - done // config.eval_every
    batches = config.steps - done + evaluations * config.eval_batches * _FORWARD_SHARE
    return _Forecast(batches * step_s, memory)


def _peak_memory() -> int:
    """Bytes that this process had in memory when it had most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(memory: int) -> str:
    return f"{memory / (1 << 20):.0f} MiB" if memory < 1 << 30 else f"{memory / (1 << 30):.1f} GiB"
