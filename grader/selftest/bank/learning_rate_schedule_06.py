import math


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    lr_range = max_learning_rate - min_learning_rate
    if it < warmup_iters:
        lr = it * max_learning_rate / warmup_iters
    elif it < cosine_cycle_iters:
        done = (it - warmup_iters) / (cosine_cycle_iters - warmup_iters)
        lr = min_learning_rate + lr_range * math.cos(done * math.pi / 2)
    else:
        lr = min_learning_rate
    return lr
