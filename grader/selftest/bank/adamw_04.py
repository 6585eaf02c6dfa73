import torch


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        for value in (lr, eps, weight_decay):
            if value < 0:
                raise ValueError(f"{value} is negative")
        for beta in betas:
            if not 0 <= beta < 1:
                raise ValueError(f"beta {beta} is not in [0, 1)")
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))
        self.lr = lr
        self.beta1, self.beta2 = betas
        self.eps = eps
        self.wd = weight_decay

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        params = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        for p in params:
            s = self.state[p]
            s.setdefault("t", 0)
            s.setdefault("m", torch.zeros_like(p))
            s.setdefault("v", torch.zeros_like(p))
            s["t"] += 1
            s["m"] = self.beta1 * s["m"] + (1 - self.beta1) * p.grad
            s["v"] = self.beta2 * s["v"] + (1 - self.beta2) * p.grad**2
            alpha = self.lr * (1 - self.beta2 ** s["t"]) ** 0.5 / (1 - self.beta1 ** s["t"])
            p -= alpha * s["m"] / (torch.sqrt(s["v"]) + self.eps)
            p -= self.lr * self.wd * p
        return loss


def get_adamw_cls():
    return AdamW
