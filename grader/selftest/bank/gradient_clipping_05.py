import torch


def gradient_clipping(parameters, max_l2_norm):
    parameters = list(parameters)
    total = 0
    for p in parameters:
        if p.grad is None:
            return
        total += (p.grad**2).sum()
    norm = torch.as_tensor(total) ** 0.5
    if norm > max_l2_norm:
        for p in parameters:
            p.grad = p.grad * max_l2_norm / (norm + 1e-6)


def run_gradient_clipping(parameters, max_l2_norm):
    gradient_clipping(parameters, max_l2_norm)
