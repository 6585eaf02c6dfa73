"""AdamW, right and written differently: orders, forms of the bias correction, and places of the state."""

from __future__ import annotations

import torch

from grader.misconceptions.catalogue import Variant


def _options(group):
    return group["lr"], *group["betas"], group["eps"], group["weight_decay"]


def _as_in_pytorch(self, closure=None):
    """Decay first, then moments with hats."""
    loss = None
    if closure is not None:
        with torch.enable_grad():
            loss = closure()
    for group in self.param_groups:
        lr, beta1, beta2, eps, weight_decay = _options(group)
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if len(state) == 0:
                state["step"] = torch.tensor(0.0)
                state["exp_avg"] = torch.zeros_like(p.data)
                state["exp_avg_sq"] = torch.zeros_like(p.data)
            state["step"] += 1
            t = state["step"].item()
            p.data.mul_(1 - lr * weight_decay)
            state["exp_avg"].mul_(beta1).add_(p.grad.data, alpha=1 - beta1)
            state["exp_avg_sq"].mul_(beta2).add_(p.grad.data**2, alpha=1 - beta2)
            m_hat = state["exp_avg"] / (1 - beta1**t)
            v_hat = state["exp_avg_sq"] / (1 - beta2**t)
            p.data -= lr * m_hat / (torch.sqrt(v_hat) + eps)
    return loss


def _out_of_place(self, closure=None):
    """The handout's lines one by one, with new tensors, and t read with a default as in its SGD example."""
    loss = None if closure is None else closure()
    for group in self.param_groups:
        lr, beta1, beta2, eps, weight_decay = _options(group)
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            t = state.get("t", 1)
            m = state.get("m", torch.zeros_like(p))
            v = state.get("v", torch.zeros_like(p))
            grad = p.grad.data
            m = beta1 * m + (1 - beta1) * grad
            v = beta2 * v + (1 - beta2) * grad * grad
            lr_t = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
            p.data = p.data - lr_t * m / (v.sqrt() + eps)
            p.data = p.data - lr * weight_decay * p.data
            state["t"], state["m"], state["v"] = t + 1, m, v
    return loss


def _mixed(decay_first: bool, hats: bool):
    """Either order of decay with either form of the bias correction."""

    def step(self, closure=None):
        loss = None if closure is None else closure()
        with torch.no_grad():
            for group in self.param_groups:
                lr, beta1, beta2, eps, weight_decay = _options(group)
                for p in (p for p in group["params"] if p.grad is not None):
                    state = self.state[p]
                    state["t"] = state.get("t", 0) + 1
                    state["m"] = torch.lerp(p.grad, state.get("m", torch.zeros_like(p)), beta1)
                    state["v"] = torch.lerp(p.grad.square(), state.get("v", torch.zeros_like(p)), beta2)
                    c1, c2 = 1 - beta1 ** state["t"], 1 - beta2 ** state["t"]
                    root = (state["v"] / c2).sqrt() + eps if hats else (state["v"].sqrt() + eps) / c2**0.5
                    if decay_first:
                        p.mul_(1 - lr * weight_decay)
                    p.sub_(state["m"] / root * (lr / c1))
                    if not decay_first:
                        p.mul_(1 - lr * weight_decay)
        return loss

    return step


def _both_at_once(self, closure=None):
    """The paper's line 12: one difference that holds both the step and the decay of the old value; float64 inside."""
    loss = None if closure is None else closure()
    with torch.no_grad():
        for group in self.param_groups:
            lr, beta1, beta2, eps, weight_decay = _options(group)
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "m" not in state:
                    state["t"], state["m"], state["v"] = 0, torch.zeros_like(p), torch.zeros_like(p)
                state["t"] += 1
                state["m"].copy_(beta1 * state["m"].double() + (1 - beta1) * p.grad.double())
                state["v"].copy_(beta2 * state["v"].double() + (1 - beta2) * p.grad.double() ** 2)
                m_hat = state["m"].double() / (1 - beta1 ** state["t"])
                v_hat = state["v"].double() / (1 - beta2 ** state["t"])
                p.copy_(p.double() - lr * (m_hat / (v_hat.sqrt() + eps) + weight_decay * p.double()))
    return loss


def _variant(id: str, step) -> Variant:
    return Variant(f"adamw-{id}", "adamw", {"optimizer.AdamW.step": step})


VARIANTS = (
    _variant("as-in-pytorch", torch.no_grad()(_as_in_pytorch)),
    Variant("adamw-of-pytorch", "adamw", {"optimizer.AdamW": torch.optim.AdamW}),
    _variant("out-of-place", _out_of_place),
    _variant("decay-first-alpha", _mixed(decay_first=True, hats=False)),
    _variant("decay-last-hats", _mixed(decay_first=False, hats=True)),
    _variant("both-at-once", _both_at_once),
)
