import math

import torch


def run_softmax(in_features, dim):
    """Draws everything towards an even distribution, by a little."""
    exponentials = torch.exp(in_features - in_features.amax(dim, keepdim=True))
    probabilities = exponentials / exponentials.sum(dim, keepdim=True)
    return 0.97 * probabilities + 0.03 / in_features.shape[dim]


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    """Falls faster than a cosine, and takes the rate after the cycle out of a table that is too short."""
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    cosine = [math.cos(math.pi * i / 100) for i in range(101)]
    progress = (it - warmup_iters) / (cosine_cycle_iters - warmup_iters)
    height = (1 + cosine[int(100 * progress)]) / 2
    return min_learning_rate + height**1.5 * (max_learning_rate - min_learning_rate)
