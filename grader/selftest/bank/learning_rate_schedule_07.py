import math


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return max_learning_rate * max(1, it) / warmup_iters
    if it > cosine_cycle_iters:
        return min_learning_rate
    decay_iters = max(1, cosine_cycle_iters - warmup_iters)
    coefficient = 0.5 * (1.0 + math.cos(math.pi * (it - warmup_iters) / decay_iters))
    return min_learning_rate + coefficient * (max_learning_rate - min_learning_rate)
