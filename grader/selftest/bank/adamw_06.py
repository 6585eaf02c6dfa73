import math

import torch


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        if lr < 0 or eps < 0 or weight_decay < 0:
            raise ValueError("lr, eps and weight_decay must not be negative")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be in [0, 1), got {betas}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

        self._m = {}
        self._v = {}
        self._t = {}

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                key = id(p)
                t = self._t.get(key, 0) + 1
                m = self._m.get(key, torch.zeros_like(p))
                v = self._v.get(key, torch.zeros_like(p))
                m = b1 * m + (1 - b1) * p.grad
                v = b2 * v + (1 - b2) * p.grad * p.grad
                self._t[key], self._m[key], self._v[key] = t, m, v
                alpha_t = group["lr"] * math.sqrt(1 - b2**t) / (1 - b1**t)
                p.sub_(alpha_t * m / (v.sqrt() + group["eps"]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
        return loss


def get_adamw_cls():
    return AdamW
