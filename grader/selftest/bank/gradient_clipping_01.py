import torch


def gradient_clipping(parameters, max_l2_norm, eps=1e-6):
    for p in parameters:
        if p.grad is None:
            continue
        norm = torch.sqrt(torch.sum(p.grad**2))
        if norm > max_l2_norm:
            p.grad.mul_(max_l2_norm / (norm + eps))


def run_gradient_clipping(parameters, max_l2_norm):
    gradient_clipping(parameters, max_l2_norm)
