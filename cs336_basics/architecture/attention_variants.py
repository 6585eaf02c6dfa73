"""Causal self-attention with other heads, queries and keys than the base model's."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class QKNormAttention(nn.Module):
    """Causal multi-head self-attention with normalised queries and keys (Henry et al., 2020; Dehghani et al., 2023):

        head_i = Attention(RoPE(q_norm(W_Q,i x)), RoPE(k_norm(W_K,i x)), W_V,i x)

    The norm is an RMSNorm over the d_k features of each head on its own, with one gain for the queries and one for the
    keys, which all heads share, as in Qwen 3 and Gemma 3. It comes before RoPE. Scores are divided by sqrt(d_k), as
    always: a dot product of two vectors of root mean square 1 lies between -d_k and d_k, times the gains.

    The submodules are `q_proj`, `k_proj`, `v_proj` and `output_proj` (Linear, d_model to d_model), and `q_norm` and
    `k_norm` (RMSNorm of d_k).

    Args:
        d_model: size of the last dimension of input and output.
        num_heads: number of heads; divides d_model.
        max_seq_len: with RoPE, positions run from 0 to max_seq_len - 1; unused without RoPE.
        theta: base of RoPE's wavelengths; None means no RoPE.
        eps: of both norms.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.

    Raises:
        ValueError: num_heads does not divide d_model; the message has both.

    Problem: qk_norm
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        max_seq_len: int,
        theta: float | None = None,
        eps: float = 1e-6,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        raise NotImplementedError(
            "qk_norm: write QKNormAttention.__init__ in cs336_basics/architecture/attention_variants.py"
        )

    def forward(
        self, x: Float[Tensor, " ... seq d_model"], token_positions: Int[Tensor, " ... seq"] | None = None
    ) -> Float[Tensor, " ... seq d_model"]:
        """Let every position attend to itself and to the positions before it; None means positions 0, 1, 2, ..."""
        raise NotImplementedError(
            "qk_norm: write QKNormAttention.forward in cs336_basics/architecture/attention_variants.py"
        )


class GroupedQueryAttention(nn.Module):
    """Causal self-attention in which several query heads share one head of keys and values (Ainslie et al., 2023):

        head_i = Attention(W_Q,i x, W_K,g x, W_V,g x)        g = i // (num_heads / num_kv_heads)

    so neighbouring query heads are a group. With num_kv_heads = num_heads this is multi-head attention, with 1
    multi-query attention (Shazeer, 2019). If `theta` is given, RoPE rotates queries and keys.

    The submodules `q_proj` and `output_proj` are Linear layers from d_model to d_model, `k_proj` and `v_proj` from
    d_model to num_kv_heads * d_k, with d_k = d_model / num_heads.

    Args:
        d_model: size of the last dimension of input and output.
        num_heads: number of query heads; divides d_model.
        num_kv_heads: number of heads of keys and values; divides num_heads.
        max_seq_len: with RoPE, positions run from 0 to max_seq_len - 1; unused without RoPE.
        theta: base of RoPE's wavelengths; None means no RoPE.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.

    Raises:
        ValueError: num_heads does not divide d_model, or num_kv_heads does not divide num_heads; the message has both
            numbers.

    Problem: grouped_query_attention
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        num_kv_heads: int,
        max_seq_len: int,
        theta: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        raise NotImplementedError(
            "grouped_query_attention: write GroupedQueryAttention.__init__ "
            "in cs336_basics/architecture/attention_variants.py"
        )

    def forward(
        self, x: Float[Tensor, " ... seq d_model"], token_positions: Int[Tensor, " ... seq"] | None = None
    ) -> Float[Tensor, " ... seq d_model"]:
        """Let every position attend to itself and to the positions before it; None means positions 0, 1, 2, ..."""
        raise NotImplementedError(
            "grouped_query_attention: write GroupedQueryAttention.forward "
            "in cs336_basics/architecture/attention_variants.py"
        )


def sink_attention(
    Q: Float[Tensor, " ... heads queries d_k"],
    K: Float[Tensor, " ... heads keys d_k"],
    V: Float[Tensor, " ... heads keys d_v"],
    mask: Bool[Tensor, " ... queries keys"] | None,
    sinks: Float[Tensor, " heads"],
) -> Float[Tensor, " ... heads queries d_v"]:
    """Scaled dot-product attention in which every query may also attend to nothing (Agarwal et al., 2025, *gpt-oss*):

        weight_ij = e^(s_ij) / (e^(sink) + sum_k e^(s_ik))        s = Q K^T / sqrt(d_k)

    The sink is one more score of the head, the same for all queries, whose weight is dropped after the softmax, so that
    a row of weights adds up to less than 1. A sink of minus infinity is attention without one.

    Args:
        Q, K, V, mask: as for `scaled_dot_product_attention`. A query that sees no key gives 0.
        sinks: one number per head, which is not divided by sqrt(d_k).

    Problem: windowed_attention
    """
    raise NotImplementedError(
        "windowed_attention: write sink_attention in cs336_basics/architecture/attention_variants.py"
    )
