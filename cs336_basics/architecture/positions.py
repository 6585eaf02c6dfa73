"""Other ways to tell attention where tokens stand."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

LAYOUTS = ("interleaved", "halves")


def alibi_slopes(num_heads: int) -> Float[Tensor, " heads"]:
    """The slopes of ALiBi, one per head, in float32 (Press et al., 2021, and its published code).

    For a power of two n, they are 2^(-8/n), 2^(-16/n), ..., 2^-8. For another number, take those of the next lower
    power of two m, and then the first, third, fifth, ... of those for 2m, until there are enough.

    Raises:
        ValueError: num_heads is below 1; the message has it.

    Problem: alibi
    """
    raise NotImplementedError("alibi: write alibi_slopes in cs336_basics/architecture/positions.py")


def alibi_attention(
    Q: Float[Tensor, " ... heads seq d_k"],
    K: Float[Tensor, " ... heads seq d_k"],
    V: Float[Tensor, " ... heads seq d_v"],
) -> Float[Tensor, " ... heads seq d_v"]:
    """Causal attention with linear biases (Press et al., 2021). The score of query i and key j, in a head of slope m:

        q_i k_j / sqrt(d_k) - m (i - j)

    so the bias is 0 for the query's own key, and falls with the distance. It is not divided by sqrt(d_k).

    Problem: alibi
    """
    raise NotImplementedError("alibi: write alibi_attention in cs336_basics/architecture/positions.py")


class PartialRotaryEmbedding(nn.Module):
    """RoPE in either layout, on the first `rotary_dim` features of each vector; the others stay as they are.

    The layout says which features are a pair, for k = 0 .. rotary_dim/2 - 1:

        interleaved: 2k and 2k + 1                  the paper, Meta's Llama, GPT-J
        halves:      k and k + rotary_dim/2         GPT-NeoX, and Llama in most libraries

    A pair is rotated at position i by the angle i / theta^(2k / rotary_dim), as in the base model's RoPE for vectors of
    rotary_dim features. GPT-NeoX and Phi rotate a quarter to a half of the features; the rest knows no position.

    Args:
        theta: the base of the wavelengths.
        d_k: size of the last dimension of the input.
        max_seq_len: positions run from 0 to max_seq_len - 1.
        layout: one of LAYOUTS.
        rotary_dim: even, at most d_k; None means d_k.
        device: where cos and sin are stored; None means torch's default.

    Raises:
        ValueError: rotary_dim is odd or above d_k, or there is no such layout; the message has the values.

    Problem: rope_variants
    """

    def __init__(
        self,
        theta: float,
        d_k: int,
        max_seq_len: int,
        layout: str = "interleaved",
        rotary_dim: int | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        raise NotImplementedError(
            "rope_variants: write PartialRotaryEmbedding.__init__ in cs336_basics/architecture/positions.py"
        )

    def forward(
        self, x: Float[Tensor, " ... seq d_k"], token_positions: Int[Tensor, " ... seq"]
    ) -> Float[Tensor, " ... seq d_k"]:
        """Rotate every vector of `x` by its position; the result has the shape and dtype of `x`."""
        raise NotImplementedError(
            "rope_variants: write PartialRotaryEmbedding.forward in cs336_basics/architecture/positions.py"
        )


def permute_for_halves(weight: Float[Tensor, "features d_model"], num_heads: int) -> Float[Tensor, "features d_model"]:
    """The rows of W_Q or W_K for interleaved RoPE in the order that RoPE in halves needs.

    Scores are then the same. In each head, the even rows come first and then the odd ones: that is how the weights of
    Meta's Llama were converted for Hugging Face's.

    Raises:
        ValueError: the rows are not num_heads heads of an even size; the message has both numbers.

    Problem: rope_variants
    """
    raise NotImplementedError("rope_variants: write permute_for_halves in cs336_basics/architecture/positions.py")
