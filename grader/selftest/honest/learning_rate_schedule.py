"""The cosine schedule, right and written differently."""

from __future__ import annotations

import math

import numpy as np
import torch

from grader.misconceptions.catalogue import Variant


def _cosine_first(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it > cosine_cycle_iters:
        return min_learning_rate
    if it >= warmup_iters:
        span = max(cosine_cycle_iters - warmup_iters, 1)
        cosine = math.cos((it - warmup_iters) / span * math.pi)
        return min_learning_rate + 0.5 * (1 + cosine) * (max_learning_rate - min_learning_rate)
    return max_learning_rate * it / warmup_iters


def _clamped_progress(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return max_learning_rate * (it / warmup_iters)
    if cosine_cycle_iters <= warmup_iters:
        return min_learning_rate
    progress = min((it - warmup_iters) / (cosine_cycle_iters - warmup_iters), 1.0)
    half = (max_learning_rate - min_learning_rate) / 2
    return min_learning_rate + half + half * math.cos(math.pi * progress)


def _numpy(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return np.float64(it) / warmup_iters * max_learning_rate
    if it >= cosine_cycle_iters:
        return min_learning_rate
    angle = np.pi * (it - warmup_iters) / (cosine_cycle_iters - warmup_iters)
    return min_learning_rate + (1 + np.cos(angle)) * (max_learning_rate - min_learning_rate) / 2


def _float32_tensor(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    if it >= cosine_cycle_iters:
        return min_learning_rate
    progress = torch.tensor((it - warmup_iters) / (cosine_cycle_iters - warmup_iters))
    return (
        min_learning_rate + 0.5 * (1 + torch.cos(math.pi * progress)) * (max_learning_rate - min_learning_rate)
    ).item()


VARIANTS = tuple(
    Variant(
        f"learning-rate-schedule{function.__name__.replace('_', '-')}",
        "learning_rate_schedule",
        {"optimizer.get_lr_cosine_schedule": function},
    )
    for function in (_cosine_first, _clamped_progress, _numpy, _float32_tensor)
)
