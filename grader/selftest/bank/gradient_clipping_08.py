import torch


def gradient_clipping(parameters, max_l2_norm, eps=1e-6):
    matrices = [p for p in parameters if p.grad is not None and p.dim() >= 2]
    if not matrices:
        return
    norms = torch.stack([torch.linalg.vector_norm(p.grad.float()) for p in matrices])
    norm = torch.linalg.vector_norm(norms)
    if norm > max_l2_norm:
        for p in matrices:
            p.grad.mul_(max_l2_norm / (norm + eps))


def run_gradient_clipping(parameters, max_l2_norm):
    gradient_clipping(parameters, max_l2_norm)
