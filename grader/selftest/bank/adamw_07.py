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
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                g = p.grad
                if g is None:
                    continue
                st = self.state[p]
                if not st:
                    st["t"], st["m"], st["v"] = 0, torch.zeros_like(p), torch.zeros_like(p)
                st["t"] += 1
                st["m"].mul_(beta1).add_(g.mul_(1 - beta1))
                st["v"].mul_(beta2).add_(g.pow(2).mul_(1 - beta2))
                step_size = group["lr"] * math.sqrt(1 - beta2 ** st["t"]) / (1 - beta1 ** st["t"])
                p.sub_(step_size * st["m"] / (st["v"].sqrt() + group["eps"]))
                p.sub_(group["lr"] * group["weight_decay"] * p)
        return loss


def get_adamw_cls():
    return AdamW
