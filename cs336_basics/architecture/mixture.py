"""A mixture of experts: many feed-forward networks, of which each token passes a few; and what keeps them all busy."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


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
        raise NotImplementedError("moe_layer: write MixtureOfExperts.__init__ in cs336_basics/architecture/mixture.py")

    def forward(self, x: Float[Tensor, " ... seq d_model"]) -> Float[Tensor, " ... seq d_model"]:
        """Pass every token through its experts, and the shared one."""
        raise NotImplementedError("moe_layer: write MixtureOfExperts.forward in cs336_basics/architecture/mixture.py")

    def gates(self, x: Float[Tensor, " ... seq d_model"]) -> Float[Tensor, " ... seq num_experts"]:
        """How much each expert counts for each token; 0 where a token does not go."""
        raise NotImplementedError("moe_layer: write MixtureOfExperts.gates in cs336_basics/architecture/mixture.py")


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
    raise NotImplementedError("moe_layer: write load_balance_loss in cs336_basics/architecture/mixture.py")


def router_z_loss(logits: Float[Tensor, " ... tokens experts"]) -> Float[Tensor, ""]:
    """The z-loss of a router (Zoph et al., 2022, *ST-MoE*, equation 5): the mean square of log Z over all tokens.

    A router decides in steps: where logits are large, rounding them in bfloat16 decides for it.

    Problem: moe_layer
    """
    raise NotImplementedError("moe_layer: write router_z_loss in cs336_basics/architecture/mixture.py")
