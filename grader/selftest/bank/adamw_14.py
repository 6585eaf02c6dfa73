import torch


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.step_one(p, group)
        return loss

    def step_one(self, p, group):
        beta2, beta1 = group["betas"]
        state = self.state[p]
        t = state["t"] = state.get("t", 0) + 1
        m = state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * p.grad
        v = state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * p.grad * p.grad
        alpha = group["lr"] * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        p -= alpha * m / (v.sqrt() + group["eps"])
        p -= group["lr"] * group["weight_decay"] * p


def get_adamw_cls():
    return AdamW
