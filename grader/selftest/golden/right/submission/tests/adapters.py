from cs336_basics import optimizer

from .common import FIXTURES_PATH  # noqa: F401


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    return optimizer.get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters)


def run_gradient_clipping(parameters, max_l2_norm):
    optimizer.gradient_clipping(parameters, max_l2_norm)
