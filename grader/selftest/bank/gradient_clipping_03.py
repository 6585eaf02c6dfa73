import math


def gradient_clipping(parameters, max_l2_norm):
    squared = 0.0
    for p in parameters:
        if p.grad is not None:
            squared += p.grad.double().pow(2).sum().item()
    norm = math.sqrt(squared)
    if norm > max_l2_norm:
        scale = max_l2_norm / (norm + 1e-6)
        for p in parameters:
            if p.grad is not None:
                p.grad.mul_(scale)


def run_gradient_clipping(parameters, max_l2_norm):
    gradient_clipping(parameters, max_l2_norm)
