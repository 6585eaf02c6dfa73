import math


class CosineSchedule:
    def __init__(self, max_lr, min_lr, warmup, total):
        self.max_lr, self.min_lr, self.warmup, self.total = max_lr, min_lr, warmup, total

    def __call__(self, step):
        if step < self.warmup:
            return self.min_lr + (self.max_lr - self.min_lr) * (step + 1) / self.warmup
        if step >= self.total:
            return self.min_lr
        ratio = (step - self.warmup) / (self.total - self.warmup)
        return self.min_lr + (self.max_lr - self.min_lr) * (1 + math.cos(ratio * math.pi)) / 2


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    return CosineSchedule(max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters)(it)
