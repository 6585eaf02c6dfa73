import math

import torch


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        if lr < 0 or eps < 0 or weight_decay < 0:
            raise ValueError("lr, eps and weight_decay must not be negative")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be in [0, 1), got {betas}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for theta in group["params"]:
                if theta.grad is None:
                    continue
                self.update(theta, **group)
        return loss

    def update(self, theta, lr, betas, eps, weight_decay, **rest):
        state = self.state[theta]
        state["t"] = state.get("t", 0) + 1
        if "m" not in state:
            state["m"], state["v"] = torch.zeros_like(theta), torch.zeros_like(theta)
        g = theta.grad
        state["m"].lerp_(g, 1 - betas[0])
        state["v"].lerp_(g * g, 1 - betas[1])
        lr = lr * math.sqrt(1 - betas[1] ** state["t"]) / (1 - betas[0] ** state["t"])
        theta.sub_(lr * state["m"] / (state["v"].sqrt() + eps))
        theta.sub_(lr * weight_decay * theta)


def get_adamw_cls():
    return AdamW
