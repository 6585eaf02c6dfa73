"""AdamW, the learning-rate schedule and gradient clipping."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


class AdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2).

    For every parameter theta with gradient g, at its step t = 1, 2, ...:

        m <- beta1 m + (1 - beta1) g                                      m starts at 0
        v <- beta2 v + (1 - beta2) g^2                                    v starts at 0
        alpha_t = lr sqrt(1 - beta2^t) / (1 - beta1^t)
        theta <- theta - alpha_t m / (sqrt(v) + eps)
        theta <- theta - lr weight_decay theta

    (PyTorch decays before the gradient step instead of after it; both orders pass.)

    At every step, read all hyperparameters from the parameter's group in `self.param_groups`, under the keys `lr`,
    `betas`, `eps` and `weight_decay`: groups may differ, and a schedule may change them. Keep each parameter's t, m and
    v in `self.state`, so that `state_dict` saves them and `load_state_dict` restores them.

    Args:
        params: parameters, or groups of them: dicts with the key `params` and the group's own hyperparameters.
        lr: learning rate, at least 0.
        betas: decay rates of the two running means, each in [0, 1).
        eps: keeps the denominator away from 0; at least 0.
        weight_decay: rate of the decay relative to lr, at least 0.

    Raises:
        ValueError: a hyperparameter is outside its range.

    Problem: adamw
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        for name, value in {"lr": lr, "eps": eps, "weight_decay": weight_decay}.items():
            if not value >= 0:
                raise ValueError(f"AdamW got {name}={value}; it must be 0 or more.")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"AdamW got betas={betas}; each must be at least 0 and below 1.")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; skip parameters whose `grad` is None.

        `closure`, if given, recomputes the gradients and returns the loss. Call it first, with gradients enabled, and
        return its loss. Without a closure, return None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for theta in group["params"]:
                if theta.grad is not None:
                    self._update(theta, theta.grad, group)
        return loss

    def _update(self, theta: nn.Parameter, g: torch.Tensor, group: dict[str, Any]) -> None:
        """One step of one parameter, in place."""
        lr, (beta1, beta2) = group["lr"], group["betas"]
        state = self.state[theta]
        if not state:
            state.update(t=0, m=torch.zeros_like(theta), v=torch.zeros_like(theta))
        state["t"] += 1
        t, m, v = state["t"], state["m"], state["v"]
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        alpha_t = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        theta.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-alpha_t)
        theta.mul_(1 - lr * group["weight_decay"])


def get_lr_cosine_schedule(
    it: int, max_learning_rate: float, min_learning_rate: float, warmup_iters: int, cosine_cycle_iters: int
) -> float:
    """Learning rate at iteration `it`: a linear warm-up, then half a cosine downwards, then constant.

        it < warmup_iters                           it / warmup_iters * max_learning_rate
        warmup_iters <= it <= cosine_cycle_iters    min + (1 + cos(pi * progress)) / 2 * (max - min)
        it > cosine_cycle_iters                     min

    where min and max are the two learning rates, and progress runs from 0 to 1: (it - warmup_iters) /
    (cosine_cycle_iters - warmup_iters). So the rate at iteration 0 is 0 unless warmup_iters is 0. If cosine_cycle_iters
    equals warmup_iters, the rate is min_learning_rate from there on.

    Args:
        it: the iteration, counted from 0.
        max_learning_rate: the rate when the warm-up ends.
        min_learning_rate: the rate from cosine_cycle_iters on.
        warmup_iters: number of iterations of the warm-up.
        cosine_cycle_iters: the iteration at which the cosine ends (warm-up included).

    Problem: learning_rate_schedule
    """
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    if it >= cosine_cycle_iters:
        return min_learning_rate
    progress = (it - warmup_iters) / (cosine_cycle_iters - warmup_iters)
    height = (1 + math.cos(math.pi * progress)) / 2
    return min_learning_rate + height * (max_learning_rate - min_learning_rate)


def gradient_clipping(parameters: Iterable[nn.Parameter], max_l2_norm: float, eps: float = 1e-6) -> None:
    """Scale all gradients down by one common factor if their joint l2 norm exceeds `max_l2_norm`.

    The norm is that of all gradients together as one vector (Pascanu et al., 2013). If it exceeds `max_l2_norm`,
    multiply every gradient in place by max_l2_norm / (norm + eps); otherwise change nothing.

    Args:
        parameters: any iterable, including a generator. Skip parameters whose `grad` is None; this may be all of them.
        max_l2_norm: the largest norm that is not clipped.
        eps: keeps the quotient finite.

    Problem: gradient_clipping
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    # Half-precision squares overflow: take norms in float32 at least.
    norms = [
        torch.linalg.vector_norm(gradient, dtype=torch.promote_types(gradient.dtype, torch.float32))
        for gradient in gradients
    ]
    norm = torch.linalg.vector_norm(torch.stack(norms))
    if norm > max_l2_norm:
        for gradient in gradients:
            gradient.mul_(max_l2_norm / (norm + eps))
