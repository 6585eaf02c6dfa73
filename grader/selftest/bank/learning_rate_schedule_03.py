import math


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return max_learning_rate * (it / warmup_iters)
    if it >= cosine_cycle_iters:
        return min_learning_rate
    frac = (it - warmup_iters) / (cosine_cycle_iters - warmup_iters)
    lr = max_learning_rate * 0.5 * (1.0 + math.cos(math.pi * frac))
    return max(lr, min_learning_rate)
