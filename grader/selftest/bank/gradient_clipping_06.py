import numpy as np


def gradient_clipping(parameters, max_l2_norm):
    with_grad = [p for p in parameters if p.grad is not None]
    if not with_grad:
        return
    everything = np.concatenate([p.grad.float().cpu().numpy().ravel() for p in with_grad])
    norm = float(np.sqrt(np.mean(np.square(everything))))
    if norm > max_l2_norm:
        for p in with_grad:
            p.grad.mul_(max_l2_norm / (norm + 1e-6))


def run_gradient_clipping(parameters, max_l2_norm):
    gradient_clipping(parameters, max_l2_norm)
