"""Gradient clipping, right and written differently."""

from __future__ import annotations

import torch

from grader.misconceptions.catalogue import Variant


def _of_pytorch(parameters, max_l2_norm, eps=1e-6):
    torch.nn.utils.clip_grad_norm_(list(parameters), max_l2_norm)


def _python_sum(parameters, max_l2_norm, eps=1e-6):
    params = [p for p in parameters if p.grad is not None]
    total = sum((p.grad.data**2).sum().item() for p in params) ** 0.5
    if total >= max_l2_norm:
        for p in params:
            p.grad.data.mul_(max_l2_norm / (total + eps))


def _clamped_factor(parameters, max_l2_norm, eps=1e-6):
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return
    norm = torch.cat([g.reshape(-1) for g in grads]).pow(2).sum().sqrt()
    factor = torch.clamp(max_l2_norm / (norm + eps), max=1.0)
    for g in grads:
        g *= factor


def _new_tensors(parameters, max_l2_norm, eps=1e-6):
    parameters = list(parameters)
    squares = torch.zeros(())
    for p in parameters:
        if p.grad is not None:
            squares = squares + p.grad.double().square().sum()
    norm = squares.sqrt()
    if norm > max_l2_norm:
        for p in parameters:
            if p.grad is not None:
                p.grad = (p.grad.double() * max_l2_norm / (norm + eps)).to(p.grad.dtype)


VARIANTS = tuple(
    Variant(
        f"gradient-clipping{function.__name__.replace('_', '-')}",
        "gradient_clipping",
        {"optimizer.gradient_clipping": function},
    )
    for function in (_of_pytorch, _python_sum, _clamped_factor, _new_tensors)
)
