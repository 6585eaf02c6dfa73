"""Two contestants take turns until their ratio is known, or time is up.

What a turn is, and how its answer is checked, is the business of `tensor_races.py` (tensors in shared memory) and
`text_races.py` (plain calls). Here is the order of things: A B, B A, A B, ... so that neither always comes second; a
pair has the same seed, hence the same inputs, and seeds never come twice.

Where a turn of the student's takes many times as long as one of the reference's, the short one says little about how
fast the machine is during the long one. So then the reference has several turns, as many before as after, and their
mean counts: a pair's ratio at 35 times varied by 19 % with one turn, and by 10 % with three on either side.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from statistics import fmean

from .statistics import Pair, Taken, Thresholds, is_settled, pair_of

_LONG, _MOST_BESIDE = 8, 3
"""For each so many times that a student's turn takes as long as the reference's, this one has a turn more before it and
one more after it, at most so many: a quarter of the time that the student's takes."""

Turn = Callable[[int], Taken]
"""What a contestant takes for the inputs of a seed. Raises when its answer is wrong."""

WARM_UPS = 4
"""Turns of each before any counts: allocators and interpreters take a few to settle. Fewer, where a turn is so slow
that all would take more than half of the time for those that count; the first, in which kernels are compiled, is free.
"""


def take_turns(
    student: Turn,
    reference: Turn,
    thresholds: Thresholds,
    *,
    chance: random.Random,
    budget_s: float,
    precision: float = 0.01,
    most_pairs: int = 200,
    warm_ups: int = WARM_UPS,
) -> list[Pair]:
    """Take turns for up to `budget_s` seconds, or until more pairs would tell nothing new; gives the timed pairs.

    At least one pair is timed. Warm-ups are checked like any other turn, and not timed.

    Args:
        precision: how narrow the interval must be, relative to the ratio, where it lies between the thresholds.
        chance: where seeds come from; whoever is timed must not know it.
    """
    ratio = 1.0
    for i in range(warm_ups):
        seed = chance.getrandbits(48)
        theirs = reference(seed)
        ratio = pair_of(student(seed), theirs).ratio
        if i == 0:
            began = time.monotonic()
        elif time.monotonic() - began > budget_s / 2:
            break
    deadline = time.monotonic() + budget_s
    pairs: list[Pair] = []
    while not pairs or (time.monotonic() < deadline and len(pairs) < most_pairs):
        seed = chance.getrandbits(48)
        beside = min(int(ratio / _LONG), _MOST_BESIDE)
        before = [reference(seed) for _ in range(beside or len(pairs) % 2)]
        ours = student(seed)
        after = [reference(seed) for _ in range(beside or 1 - len(before))]
        pairs.append(pair_of(ours, _mean([*before, *after])))
        ratio = pairs[-1].ratio
        if len(pairs) % 2 == 0 and is_settled(pairs, thresholds, precision):
            break
    return pairs


def _mean(turns: Sequence[Taken]) -> Taken:
    return Taken(fmean(turn.seconds for turn in turns), fmean(turn.elapsed_s for turn in turns))
