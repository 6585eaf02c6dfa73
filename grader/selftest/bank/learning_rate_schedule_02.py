from math import cos, pi


def lr_at(t, hi, lo, t_warm, t_cos):
    if t < t_warm:
        return t / t_warm * hi
    t = t - t_warm
    if t > t_cos or t_cos == 0:
        return lo
    return lo + 0.5 * (1 + cos(pi * t / t_cos)) * (hi - lo)


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    return lr_at(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters)
