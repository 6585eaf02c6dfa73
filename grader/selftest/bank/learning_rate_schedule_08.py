import math


def get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    warm = min(1.0, it / warmup_iters) if warmup_iters > 0 else 1.0
    if it < warmup_iters:
        return warm * max_learning_rate
    length = max(cosine_cycle_iters - warmup_iters, 1)
    progress = min(1.0, (it - warmup_iters) / length)
    if it >= cosine_cycle_iters:
        progress = 1.0
    cosine = (1 + math.cos(math.pi * progress)) / 2
    return max(min_learning_rate, warm * cosine * max_learning_rate)


def gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    total = sum(g.double().pow(2).sum().item() for g in grads)
    if total > max_l2_norm:
        factor = max_l2_norm / (total**0.5 + 1e-6)
        for g in grads:
            g.mul_(factor)


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    return get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters)


def run_gradient_clipping(parameters, max_l2_norm):
    gradient_clipping(parameters, max_l2_norm)
