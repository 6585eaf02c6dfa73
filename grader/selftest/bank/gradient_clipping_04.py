import torch


def gradient_clipping(parameters, max_l2_norm):
    params = [p for p in parameters if p.grad is not None]
    if not params:
        return
    flat = torch.cat([p.grad.flatten() for p in params])
    norm = flat.norm()
    coef = max_l2_norm / (norm + 1e-6)
    for p in params:
        p.grad.mul_(coef)


def run_gradient_clipping(parameters, max_l2_norm):
    gradient_clipping(parameters, max_l2_norm)
