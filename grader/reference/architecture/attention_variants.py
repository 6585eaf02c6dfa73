"""Causal self-attention with other heads, queries and keys than the base model's."""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..attention import scaled_dot_product_attention, softmax
from ..layers import Linear, RMSNorm
from ..rope import RotaryPositionalEmbedding


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
        super().__init__()
        d_k = _head_size(d_model, num_heads)
        self.num_heads = num_heads
        self.q_proj = Linear(d_model, d_model, device, dtype)
        self.k_proj = Linear(d_model, d_model, device, dtype)
        self.v_proj = Linear(d_model, d_model, device, dtype)
        self.output_proj = Linear(d_model, d_model, device, dtype)
        self.q_norm = RMSNorm(d_k, eps, device, dtype)
        self.k_norm = RMSNorm(d_k, eps, device, dtype)
        self.rope = None if theta is None else RotaryPositionalEmbedding(theta, d_k, max_seq_len, device)

    def forward(
        self, x: Float[Tensor, " ... seq d_model"], token_positions: Int[Tensor, " ... seq"] | None = None
    ) -> Float[Tensor, " ... seq d_model"]:
        """Let every position attend to itself and to the positions before it; None means positions 0, 1, 2, ..."""
        q, k = self.q_norm(_heads(self.q_proj(x), self.num_heads)), self.k_norm(_heads(self.k_proj(x), self.num_heads))
        q, k = _rotated(self.rope, q, k, token_positions)
        attended = scaled_dot_product_attention(q, k, _heads(self.v_proj(x), self.num_heads), _causal(x))
        return self.output_proj(_joined(attended))


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
        super().__init__()
        d_k = _head_size(d_model, num_heads)
        if num_kv_heads < 1 or num_heads % num_kv_heads:
            raise ValueError(
                f"{num_heads} query heads cannot share {num_kv_heads} heads of keys and values equally; choose a "
                "num_kv_heads that divides num_heads."
            )
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads
        self.q_proj = Linear(d_model, d_model, device, dtype)
        self.k_proj = Linear(d_model, num_kv_heads * d_k, device, dtype)
        self.v_proj = Linear(d_model, num_kv_heads * d_k, device, dtype)
        self.output_proj = Linear(d_model, d_model, device, dtype)
        self.rope = None if theta is None else RotaryPositionalEmbedding(theta, d_k, max_seq_len, device)

    def forward(
        self, x: Float[Tensor, " ... seq d_model"], token_positions: Int[Tensor, " ... seq"] | None = None
    ) -> Float[Tensor, " ... seq d_model"]:
        """Let every position attend to itself and to the positions before it; None means positions 0, 1, 2, ..."""
        q = _heads(self.q_proj(x), self.num_heads)
        k, v = (_heads(proj(x), self.num_kv_heads) for proj in (self.k_proj, self.v_proj))
        q, k = _rotated(self.rope, q, k, token_positions)
        group = self.num_heads // self.num_kv_heads
        k, v = (y.repeat_interleave(group, dim=-3) for y in (k, v))
        return self.output_proj(_joined(scaled_dot_product_attention(q, k, v, _causal(x))))


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
    scores = (Q / math.sqrt(Q.shape[-1])) @ K.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    sink = sinks.to(scores.dtype)[:, None, None].expand(*scores.shape[:-1], 1)
    weights = softmax(torch.cat([scores, sink], dim=-1), dim=-1)
    return weights[..., :-1] @ V


def _head_size(d_model: int, num_heads: int) -> int:
    if num_heads < 1 or d_model % num_heads:
        raise ValueError(
            f"{num_heads} heads cannot share d_model = {d_model}; choose a num_heads that divides d_model."
        )
    return d_model // num_heads


def _heads(x: Float[Tensor, " ... seq features"], heads: int) -> Float[Tensor, " ... heads seq d_k"]:
    return rearrange(x, "... seq (heads d_k) -> ... heads seq d_k", heads=heads)


def _joined(x: Float[Tensor, " ... heads seq d_v"]) -> Float[Tensor, " ... seq features"]:
    return rearrange(x, "... heads seq d_v -> ... seq (heads d_v)")


def _rotated(rope: nn.Module | None, q: Tensor, k: Tensor, token_positions: Tensor | None) -> tuple[Tensor, Tensor]:
    """Queries and keys [... heads seq d_k], rotated by positions [... seq] that all heads share."""
    if rope is None:
        return q, k
    if token_positions is None:
        token_positions = torch.arange(q.shape[-2], device=q.device)
    token_positions = rearrange(token_positions, "... seq -> ... 1 seq")
    return rope(q, token_positions), rope(k, token_positions)


def _causal(x: Float[Tensor, " ... seq d_model"]) -> Tensor:
    seq_len = x.shape[-2]
    return torch.ones(seq_len, seq_len, dtype=torch.bool, device=x.device).tril()
