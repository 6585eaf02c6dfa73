import torch


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        if lr < 0 or eps < 0 or weight_decay < 0:
            raise ValueError("negative hyperparameter")
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1):
            raise ValueError("betas out of range")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def step(self, closure=None):
        loss = None if closure is None else closure()
        with torch.no_grad():
            for group in self.param_groups:
                b1, b2 = group["betas"]
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    g = p.grad + group["weight_decay"] * p
                    state = self.state[p]
                    t = state.get("t", 0) + 1
                    m = b1 * state.get("m", 0) + (1 - b1) * g
                    v = b2 * state.get("v", 0) + (1 - b2) * g**2
                    lr_t = group["lr"] * (1 - b2**t) ** 0.5 / (1 - b1**t)
                    p -= lr_t * m / (v.sqrt() + group["eps"])
                    state["t"], state["m"], state["v"] = t, m, v
        return loss


def get_adamw_cls():
    return AdamW
