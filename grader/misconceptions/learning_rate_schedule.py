"""How the cosine schedule goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from .catalogue import replacing
from .together import assembled


def _linear_warmup(it, high, warmup):
    return it / warmup * high


def _progress(it, warmup, cycle):
    return (it - warmup) / (cycle - warmup)


def _only_behind(it, cycle):
    """Whether the cycle is over, of which its last iteration is still a part."""
    return it > cycle


def _half_cosine(progress, high, low):
    return low + (1 + math.cos(math.pi * progress)) / 2 * (high - low)


def _whole_cosine(progress, high, low):
    return _half_cosine(2 * progress, high, low)


def _lowest(it, warmup, cycle, high, low):
    return low


@assembled
def _schedule(
    in_warmup: Callable[[int, int], bool] = lambda it, warmup: it < warmup,
    rising: Callable[..., float] = _linear_warmup,
    after: Callable[[int, int], bool] = lambda it, cycle: it >= cycle,
    end: Callable[..., float] = _lowest,
    progress: Callable[..., float] = _progress,
    falling: Callable[..., float] = _half_cosine,
) -> Callable[..., float]:
    """The schedule with some of its parts replaced."""

    def schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
        if in_warmup(it, warmup_iters):
            return rising(it, max_learning_rate, warmup_iters)
        if after(it, cosine_cycle_iters):
            return end(it, warmup_iters, cosine_cycle_iters, max_learning_rate, min_learning_rate)
        return falling(progress(it, warmup_iters, cosine_cycle_iters), max_learning_rate, min_learning_rate)

    return schedule


def _from_minimum(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return min_learning_rate + it / warmup_iters * (max_learning_rate - min_learning_rate)
    return _schedule()(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters)


def _cycle_after_warmup(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    return _schedule()(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters + warmup_iters)


def _divides_first(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    rising = it / warmup_iters * max_learning_rate
    arguments = (it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters)
    return rising if it < warmup_iters else _schedule()(*arguments)


_wrong = partial(replacing, "learning_rate_schedule", "optimizer.get_lr_cosine_schedule", "Your schedule ")


MISCONCEPTIONS = (
    _wrong(
        "no-warmup",
        _schedule(in_warmup=lambda it, warmup: False),
        "has no warm-up: the cosine formula is used from iteration 0 on.",
        "What is the rate at iteration 0?",
        "rare",
    ),
    _wrong(
        "warmup-from-one",
        _schedule(rising=lambda it, high, warmup: (it + 1) / warmup * high),
        "is one iteration ahead during the warm-up.",
        "What is the rate at iteration 0: 0, or one step of the warm-up?",
        "common",
    ),
    _wrong(
        "warmup-too-short",
        _schedule(rising=lambda it, high, warmup: it / max(1, warmup - 1) * high),
        "reaches the maximum one iteration before the warm-up ends.",
        "What is the rate at iteration warmup_iters - 1?",
        "rare",
    ),
    _wrong(
        "warmup-too-long",
        _schedule(rising=lambda it, high, warmup: it / (warmup + 1) * high),
        "divides by warmup_iters + 1 during the warm-up.",
        "By how much does the rate rise in one iteration of the warm-up?",
        "rare",
    ),
    _wrong(
        "warmup-constant",
        _schedule(rising=lambda it, high, warmup: high),
        "is at its maximum during the whole warm-up.",
        "What is the rate at iteration 0?",
        "rare",
    ),
    _wrong(
        "warmup-from-minimum",
        _from_minimum,
        "starts the warm-up at min_learning_rate; it should start at 0.",
        "What is the rate at iteration 0?",
    ),
    _wrong(
        "warmup-in-integers",
        _schedule(rising=lambda it, high, warmup: it // warmup * high),
        "uses integer division during the warm-up, so the rate is 0 there.",
        "What is 3 // 7?",
        "rare",
    ),
    _wrong(
        "progress-from-zero",
        _schedule(progress=lambda it, warmup, cycle: it / cycle),
        "counts the cosine's progress from iteration 0, not from the end of the warm-up.",
        "What is the progress at it = warmup_iters: 0?",
        "common",
    ),
    _wrong(
        "progress-over-whole-cycle",
        _schedule(progress=lambda it, warmup, cycle: (it - warmup) / cycle),
        "divides the cosine's progress by the whole cycle, warm-up included, so it never reaches 1.",
        "What is the progress at it = cosine_cycle_iters: 1?",
    ),
    _wrong(
        "progress-one-ahead",
        _schedule(progress=lambda it, warmup, cycle: (it - warmup + 1) / (cycle - warmup)),
        "is one iteration ahead on the cosine.",
        "Is the rate at it = warmup_iters the maximum?",
        "rare",
    ),
    _wrong(
        "ends-one-early",
        _schedule(progress=lambda it, warmup, cycle: (it - warmup) / max(1, cycle - warmup - 1)),
        "reaches the minimum one iteration before the cycle ends.",
        "Is the rate at it = cosine_cycle_iters - 1 still above the minimum?",
        "rare",
    ),
    _wrong(
        "cycle-after-warmup",
        _cycle_after_warmup,
        "lets the cosine last cosine_cycle_iters iterations after the warm-up; the warm-up is part of them.",
        "At which iteration does your rate reach the minimum?",
    ),
    _wrong(
        "linear-decay",
        _schedule(falling=lambda progress, high, low: high + progress * (low - high)),
        "falls along a straight line, not along a cosine.",
        "Plot the rates: are they flat at both ends of the fall?",
        "rare",
    ),
    _wrong(
        "whole-cosine",
        _schedule(falling=_whole_cosine),
        "goes through a whole period of the cosine, down and up again.",
        "What is the cosine's argument at the end of the cycle: pi, or 2 pi?",
        "rare",
    ),
    _wrong(
        "quarter-cosine",
        _schedule(falling=lambda progress, high, low: low + math.cos(math.pi / 2 * progress) * (high - low)),
        "goes through a quarter period of the cosine instead of half a period.",
        "Halfway through the fall, is the rate the mean of maximum and minimum?",
        "rare",
    ),
    _wrong(
        "without-half",
        _schedule(falling=lambda progress, high, low: low + (1 + math.cos(math.pi * progress)) * (high - low)),
        "leaves out the factor 1/2 before 1 + cos, so it starts at twice the range.",
        "Is the rate at it = warmup_iters the maximum?",
    ),
    _wrong(
        "rises",
        _schedule(falling=lambda progress, high, low: low + (1 - math.cos(math.pi * progress)) / 2 * (high - low)),
        "rises along the cosine instead of falling.",
        "What is the rate right after the warm-up?",
        "rare",
    ),
    _wrong(
        "ignores-minimum",
        _schedule(falling=lambda progress, high, low: (1 + math.cos(math.pi * progress)) / 2 * high),
        "falls towards 0, not towards min_learning_rate.",
        "What is the rate one iteration before the cycle ends?",
    ),
    _wrong(
        "minimum-added-to-maximum",
        _schedule(falling=lambda progress, high, low: low + (1 + math.cos(math.pi * progress)) / 2 * high),
        "spans the cosine over the maximum, not over maximum - minimum.",
        "Is the rate at it = warmup_iters the maximum?",
    ),
    _wrong(
        "degrees",
        _schedule(falling=lambda progress, high, low: low + (1 + math.cos(180 * progress)) / 2 * (high - low)),
        "passes degrees to math.cos, which takes radians.",
        "What is math.cos(180)?",
        "rare",
    ),
    _wrong(
        "zero-after",
        _schedule(end=lambda it, warmup, cycle, high, low: 0.0),
        "is 0 after the cycle, not min_learning_rate.",
        "What is the rate long after the cycle?",
    ),
    _wrong(
        "starts-over",
        _schedule(
            end=lambda it, warmup, cycle, high, low: _half_cosine(_progress(it, warmup, cycle), high, low),
        ),
        "keeps following the cosine after the cycle, so the rate rises again.",
        "What is the rate at twice the length of the cycle?",
        "common",
    ),
    _wrong(
        "restarts",
        _schedule(
            end=lambda it, warmup, cycle, high, low: _half_cosine(
                (it - warmup) % (cycle - warmup) / (cycle - warmup) if cycle > warmup else 1.0, high, low
            ),
        ),
        "starts a new cycle after the first one ends.",
        "What is the rate at it = cosine_cycle_iters + 1?",
        "rare",
    ),
    _wrong(
        "divides-by-zero-warmup",
        _divides_first,
        "divides by warmup_iters even when there is no warm-up.",
        "What does your code compute at it = 0 when warmup_iters is 0?",
        "common",
    ),
    _wrong(
        "divides-by-zero-cosine",
        _schedule(after=lambda it, cycle: it > cycle),
        "divides by zero when the cycle ends with the warm-up.",
        "What is the denominator of the progress when cosine_cycle_iters equals warmup_iters?",
        "common",
    ),
    _wrong(
        "progress-over-whole-cycle-to-the-end",
        _schedule(progress=lambda it, warmup, cycle: (it - warmup) / cycle, after=_only_behind),
        "divides the cosine's progress by the whole cycle, warm-up included, so it does not end at the minimum.",
        "What is the progress at it = cosine_cycle_iters: 1?",
    ),
    _wrong(
        "whole-cosine-to-the-end",
        _schedule(falling=_whole_cosine, after=_only_behind),
        "goes through a whole period of the cosine, and is back at its maximum when the cycle ends.",
        "What is the cosine's argument at the end of the cycle: pi, or 2 pi?",
    ),
)
