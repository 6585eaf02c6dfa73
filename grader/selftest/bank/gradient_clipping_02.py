import torch


def gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    if len(grads) == 0:
        return
    total = sum(torch.linalg.vector_norm(g) for g in grads)
    if total > max_l2_norm:
        for g in grads:
            g *= max_l2_norm / (total + 1e-6)


def run_gradient_clipping(parameters, max_l2_norm):
    gradient_clipping(parameters, max_l2_norm)
