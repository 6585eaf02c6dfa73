"""Which experts a token goes to, and how much each of them counts.

A routing is one matrix of gates: a row for each token, a column for each expert, and 0 where a token does not go.
"""

from jaxtyping import Float, Int
from torch import Tensor


def top_k_gates(
    logits: Float[Tensor, " ... tokens experts"], top_k: int, renormalise: bool = True
) -> Float[Tensor, " ... tokens experts"]:
    """Send each token to the `top_k` experts that its router scores highest (Shazeer et al., 2017, section 2.1).

    Probabilities are a softmax over all experts. The gates of the chosen ones are theirs, as in Switch Transformers, or
    are divided by their sum, so that each row adds up to 1, as in Mixtral. Other experts have the gate 0. There are
    exactly `top_k` in each row, also where scores are equal; which of equal ones are taken is open. Gradients flow
    through all gates that are not 0.

    Args:
        logits: the router's score of each expert for each token.
        top_k: from 1 to the number of experts.
        renormalise: whether gates are divided by their sum.

    Raises:
        ValueError: top_k is below 1 or above the number of experts; the message has both numbers.

    Problem: moe_routing
    """
    raise NotImplementedError("moe_routing: write top_k_gates in cs336_basics/architecture/routing.py")


def biased_gates(
    logits: Float[Tensor, " ... tokens experts"], bias: Float[Tensor, " experts"], top_k: int
) -> Float[Tensor, " ... tokens experts"]:
    """Choose experts by their score plus a bias, and weigh them by the score alone (DeepSeek-V3, 2024, section 2.1.2).

    Scores are sigmoids of the logits, each for itself. The `top_k` experts with the largest score + bias are chosen;
    their gates are their scores, without the bias, divided by the sum of those. So a bias that is raised for experts
    with too little to do, and lowered for those with too much, balances them without a loss.

    Args:
        logits: the router's score of each expert for each token.
        bias: one number per expert, of any sign.
        top_k: from 1 to the number of experts.

    Raises:
        ValueError: as `top_k_gates`.

    Problem: moe_routing
    """
    raise NotImplementedError("moe_routing: write biased_gates in cs336_basics/architecture/routing.py")


def hash_gates(
    logits: Float[Tensor, " ... tokens experts"],
    token_ids: Int[Tensor, " ... tokens"],
    table: Int[Tensor, "vocab_size top_k"],
) -> Float[Tensor, " ... tokens experts"]:
    """Send each token to the experts that a fixed table has for its id (Roller et al., 2021, *Hash Layers*).

    The router does not choose, but it weighs, as in DeepSeek-V4: the gates of the token's experts are their
    probabilities, from a softmax over all experts, divided by their sum. With one expert per token every gate is 1.

    Args:
        logits: the router's score of each expert for each token.
        token_ids: the id of each token.
        table: the experts of each id, all different in a row, from 0 to the number of experts - 1.

    Raises:
        ValueError: the table has an expert that there is not; the message has it, and the number of experts.

    Problem: moe_routing
    """
    raise NotImplementedError("moe_routing: write hash_gates in cs336_basics/architecture/routing.py")


def expert_capacity(tokens: int, num_experts: int, top_k: int, capacity_factor: float) -> int:
    """How many tokens of a sequence one expert may take (Lepikhin et al., 2020, *GShard*):

        capacity_factor * top_k * tokens / num_experts, rounded up

    With a factor of 1 there is room for all if every expert gets as many as any other.

    Raises:
        ValueError: capacity_factor is 0 or less; the message has it.

    Problem: moe_routing
    """
    raise NotImplementedError("moe_routing: write expert_capacity in cs336_basics/architecture/routing.py")


def drop_over_capacity(
    gates: Float[Tensor, " ... tokens experts"], capacity: int
) -> Float[Tensor, " ... tokens experts"]:
    """Set the gates to 0 for which an expert has no room (Fedus et al., 2021, *Switch Transformers*, section 2.2).

    In each sequence on its own, an expert takes the first `capacity` tokens that are sent to it, whatever its gate for
    them; it drops those after them. The gates that remain are what they were, so that a token of which a choice was
    dropped counts for less, and one without any expert gives 0.

    Args:
        gates: one sequence of tokens in each matrix of the last two dimensions; an expert with a gate of 0 is not
            chosen, and takes up no room.
        capacity: at least 1.

    Raises:
        ValueError: capacity is below 1; the message has it.

    Problem: moe_routing
    """
    raise NotImplementedError("moe_routing: write drop_over_capacity in cs336_basics/architecture/routing.py")
