"""Other ways to tell attention where tokens stand."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..attention import softmax
from ..rope import RotaryPositionalEmbedding

LAYOUTS = ("interleaved", "halves")


def alibi_slopes(num_heads: int) -> Float[Tensor, " heads"]:
    """The slopes of ALiBi, one per head, in float32 (Press et al., 2021, and its published code).

    For a power of two n, they are 2^(-8/n), 2^(-16/n), ..., 2^-8. For another number, take those of the next lower
    power of two m, and then the first, third, fifth, ... of those for 2m, until there are enough.

    Raises:
        ValueError: num_heads is below 1; the message has it.

    Problem: alibi
    """
    if num_heads < 1:
        raise ValueError(f"num_heads is {num_heads}, and must be at least 1.")
    lower = 1 << (num_heads.bit_length() - 1)
    exponents = [-8 * (k + 1) / lower for k in range(lower)]
    exponents += [-8 * (2 * k + 1) / (2 * lower) for k in range(num_heads - lower)]
    return torch.tensor([2.0**exponent for exponent in exponents])


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
    positions = torch.arange(Q.shape[-2], device=Q.device)
    distance = positions.unsqueeze(-1) - positions
    slopes = alibi_slopes(Q.shape[-3]).to(Q)
    scores = (Q / math.sqrt(Q.shape[-1])) @ K.transpose(-2, -1) - slopes[:, None, None] * distance
    return softmax(scores.masked_fill(distance < 0, -math.inf), dim=-1) @ V


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
        super().__init__()
        if layout not in LAYOUTS:
            raise ValueError(f"no layout is called {layout!r}; there are {', '.join(LAYOUTS)}.")
        rotary_dim = d_k if rotary_dim is None else rotary_dim
        if rotary_dim % 2 or not 0 <= rotary_dim <= d_k:
            raise ValueError(f"rotary_dim is {rotary_dim}; RoPE needs an even number of at most d_k = {d_k} features.")
        self.layout, self.rotary_dim = layout, rotary_dim
        self.rope = RotaryPositionalEmbedding(theta, rotary_dim, max_seq_len, device)

    def forward(
        self, x: Float[Tensor, " ... seq d_k"], token_positions: Int[Tensor, " ... seq"]
    ) -> Float[Tensor, " ... seq d_k"]:
        """Rotate every vector of `x` by its position; the result has the shape and dtype of `x`."""
        turned, rest = x.split([self.rotary_dim, x.shape[-1] - self.rotary_dim], dim=-1)
        if self.layout == "halves":
            turned = turned.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
        turned = self.rope(turned, token_positions)
        if self.layout == "halves":
            turned = turned.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)
        return torch.cat([turned, rest], dim=-1)


def permute_for_halves(weight: Float[Tensor, "features d_model"], num_heads: int) -> Float[Tensor, "features d_model"]:
    """The rows of W_Q or W_K for interleaved RoPE in the order that RoPE in halves needs.

    Scores are then the same. In each head, the even rows come first and then the odd ones: that is how the weights of
    Meta's Llama were converted for Hugging Face's.

    Raises:
        ValueError: the rows are not num_heads heads of an even size; the message has both numbers.

    Problem: rope_variants
    """
    rows = weight.shape[0]
    if num_heads < 1 or rows % (2 * num_heads):
        raise ValueError(f"{rows} rows are not {num_heads} heads of an even number of rows each.")
    return weight.unflatten(0, (num_heads, -1, 2)).transpose(1, 2).flatten(0, 2)
