import numpy as np


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if warmup_iters > 0 and it < warmup_iters:
        return float(it / warmup_iters * max_learning_rate)
    span = cosine_cycle_iters - warmup_iters
    if span == 0:
        return min_learning_rate
    angle = np.pi * (it - warmup_iters) / span
    return float(min_learning_rate + (1 + np.cos(angle)) / 2 * (max_learning_rate - min_learning_rate))
