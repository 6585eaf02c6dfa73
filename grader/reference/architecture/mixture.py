"""A mixture of experts: many feed-forward networks, of which each token passes a few; and what keeps them all busy."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..attention import softmax
from ..layers import Linear, SwiGLU
from .routing import drop_over_capacity, expert_capacity, top_k_gates
from .stability import z_loss


class MixtureOfExperts(nn.Module):
    """A layer of experts that stands where a feed-forward network stands (Shazeer et al., 2017; Mixtral, 2024):

        y_t = shared(x_t) + sum_e gates_te expert_e(x_t)        gates = top_k_gates(router(x))

    An expert's output is multiplied by its gate, not its input. An expert need only compute the tokens that are sent to
    it. The shared expert (DeepSeekMoE, 2024) takes every token, with no gate.

    The submodules are `router` (Linear, d_model to num_experts), `experts` (a ModuleList of SwiGLU networks of d_ff),
    and `shared` (SwiGLU of shared_d_ff), which is None where shared_d_ff is 0.

    Args:
        d_model: size of the last dimension of input and output.
        d_ff: size of the hidden dimension of each expert.
        num_experts: number of experts, without the shared one.
        top_k: experts per token, from 1 to num_experts.
        renormalise: whether the gates of a token are divided by their sum.
        shared_d_ff: size of the hidden dimension of the shared expert; 0 means that there is none.
        capacity_factor: how full experts may get, as in `expert_capacity`; None means that nothing is dropped.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.

    Raises:
        ValueError: top_k is below 1 or above num_experts; the message has both.

    Problem: moe_layer
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        num_experts: int,
        top_k: int,
        renormalise: bool = True,
        shared_d_ff: int = 0,
        capacity_factor: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= top_k <= num_experts:
            raise ValueError(
                f"top_k = {top_k} of num_experts = {num_experts} cannot be chosen; choose from 1 to all of them."
            )
        self.top_k, self.renormalise, self.capacity_factor = top_k, renormalise, capacity_factor
        self.router = Linear(d_model, num_experts, device, dtype)
        self.experts = nn.ModuleList(SwiGLU(d_model, d_ff, device, dtype) for _ in range(num_experts))
        self.shared = SwiGLU(d_model, shared_d_ff, device, dtype) if shared_d_ff else None

    def forward(self, x: Float[Tensor, " ... seq d_model"]) -> Float[Tensor, " ... seq d_model"]:
        """Pass every token through its experts, and the shared one."""
        gates = self.gates(x)
        y = torch.zeros_like(x) if self.shared is None else self.shared(x)
        for e, expert in enumerate(self.experts):
            sent = gates[..., e] > 0
            y = y.index_put((sent,), gates[..., e][sent].unsqueeze(-1) * expert(x[sent]), accumulate=True)
        return y

    def gates(self, x: Float[Tensor, " ... seq d_model"]) -> Float[Tensor, " ... seq num_experts"]:
        """How much each expert counts for each token; 0 where a token does not go."""
        logits = self.router(x)
        gates = top_k_gates(logits, self.top_k, self.renormalise)
        if self.capacity_factor is None:
            return gates
        tokens, num_experts = logits.shape[-2:]
        return drop_over_capacity(gates, expert_capacity(tokens, num_experts, self.top_k, self.capacity_factor))


def load_balance_loss(logits: Float[Tensor, " ... tokens experts"], top_k: int) -> Float[Tensor, ""]:
    """What keeps a router from sending all tokens to a few experts (Fedus et al., 2021, section 2.2, equation 4):

        num_experts * sum_e f_e P_e

    f_e is expert e's share of all choices: how many tokens have it among their `top_k`, over tokens * top_k. P_e is its
    probability, a softmax over all experts, averaged over tokens. Both are taken over all tokens of the batch. The loss
    is 1 where all is even, and num_experts where one expert has everything, whatever `top_k` is. A count has no
    gradient, so it flows through P alone.

    Args:
        logits: the router's score of each expert for each token.
        top_k: experts per token, from 1 to the number of experts.

    Raises:
        ValueError: as `top_k_gates`.

    Problem: moe_layer
    """
    num_experts = logits.shape[-1]
    chosen = top_k_gates(logits, top_k, renormalise=False) > 0
    shares = chosen.reshape(-1, num_experts).to(logits.dtype).mean(dim=0) / top_k
    probabilities = softmax(logits, dim=-1).reshape(-1, num_experts).mean(dim=0)
    return num_experts * (shares * probabilities).sum()


def router_z_loss(logits: Float[Tensor, " ... tokens experts"]) -> Float[Tensor, ""]:
    """The z-loss of a router (Zoph et al., 2022, *ST-MoE*, equation 5): the mean square of log Z over all tokens.

    A router decides in steps: where logits are large, rounding them in bfloat16 decides for it.

    Problem: moe_layer
    """
    return z_loss(logits, coefficient=1.0)
