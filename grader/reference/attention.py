"""Softmax, scaled dot-product attention, and causal multi-head self-attention."""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .layers import Linear
from .rope import RotaryPositionalEmbedding


def softmax(x: Float[Tensor, " ..."], dim: int) -> Float[Tensor, " ..."]:
    """Turn the numbers along dimension `dim` into probabilities: softmax(x)_i = e^(x_i) / sum_j e^(x_j).

    Adding a constant to all numbers does not change the result. Use this to keep it finite for inputs of any size, even
    where e^(x_i) itself would overflow. An input of minus infinity gets probability 0. The result has the shape and
    dtype of `x`; `dim` may be negative.

    Problem: softmax
    """
    exponentials = _shifted_exp(x, dim)
    return exponentials * exponentials.sum(dim, keepdim=True).reciprocal()


def scaled_dot_product_attention(
    Q: Float[Tensor, " ... queries d_k"],
    K: Float[Tensor, " ... keys d_k"],
    V: Float[Tensor, " ... keys d_v"],
    mask: Bool[Tensor, " ... queries keys"] | None = None,
) -> Float[Tensor, " ... queries d_v"]:
    """Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V (Vaswani et al., 2017, section 3.2.1).

    There may be any number of leading dimensions (batch, heads, or none), and d_v may differ from d_k.

    Args:
        Q: one query per row.
        K: one key per row.
        V: the value that belongs to each key.
        mask: True where a query may attend to a key. Other keys get probability 0. The mask broadcasts
            to [... queries keys]; every query needs at least one key. None means that every query may attend to
            every key.

    Problem: scaled_dot_product_attention
    """
    scores = (Q / math.sqrt(Q.shape[-1])) @ K.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    # The softmax's division comes after the product with V: d_v quotients per query instead of one per key.
    weights = _shifted_exp(scores, dim=-1)
    return (weights @ V) * weights.sum(dim=-1, keepdim=True).reciprocal()


class CausalMultiHeadSelfAttention(nn.Module):
    """Multi-head self-attention in which no position sees a later one (Vaswani et al., 2017, section 3.2.2):

        MultiHeadSelfAttention(x) = W_O concat(head_1 .. head_h)
        head_i = Attention(W_Q,i x, W_K,i x, W_V,i x)

    with d_k = d_v = d_model / num_heads. The submodules `q_proj`, `k_proj`, `v_proj` and `output_proj` are
    Linear layers from d_model to d_model; head i owns the rows i d_k .. (i + 1) d_k - 1 of the first three.
    If `theta` is given, RoPE rotates the queries and keys (not the values) of every head.

    Args:
        d_model: size of the last dimension of input and output.
        num_heads: number of heads; divides d_model.
        max_seq_len: with RoPE, positions run from 0 to max_seq_len - 1; unused without RoPE.
        theta: base of RoPE's wavelengths; None means no RoPE.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.

    Raises:
        ValueError: num_heads does not divide d_model, or theta is given without max_seq_len.

    Problem: multihead_self_attention
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        max_seq_len: int | None = None,
        theta: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(
                f"{num_heads} heads cannot share {d_model} features equally; choose a num_heads that divides d_model."
            )
        self.num_heads = num_heads
        self.q_proj = Linear(d_model, d_model, device, dtype)
        self.k_proj = Linear(d_model, d_model, device, dtype)
        self.v_proj = Linear(d_model, d_model, device, dtype)
        self.output_proj = Linear(d_model, d_model, device, dtype)
        self.rope = None
        if theta is not None:
            if max_seq_len is None:
                raise ValueError("RoPE needs to know the longest sequence; give max_seq_len along with theta.")
            self.rope = RotaryPositionalEmbedding(theta, d_model // num_heads, max_seq_len, device)

    def forward(
        self, x: Float[Tensor, " ... seq d_model"], token_positions: Int[Tensor, " ... seq"] | None = None
    ) -> Float[Tensor, " ... seq d_model"]:
        """Let every position attend to itself and to the positions before it in the sequence.

        `token_positions` affects only RoPE; it does not change the causal mask. It has shape [seq], or leading
        dimensions that broadcast to those of `x`; None means 0, 1, 2, ...
        """
        q, k, v = (
            rearrange(projection(x), "... seq (heads d_k) -> ... heads seq d_k", heads=self.num_heads)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        seq_len = x.shape[-2]
        if self.rope is not None:
            if token_positions is None:
                token_positions = torch.arange(seq_len, device=x.device)
            # All heads of a sequence share its positions.
            token_positions = rearrange(token_positions, "... seq -> ... 1 seq")
            q, k = self.rope(q, token_positions), self.rope(k, token_positions)
        causal = torch.ones(seq_len, seq_len, dtype=torch.bool, device=x.device).tril()
        attended = scaled_dot_product_attention(q, k, v, causal)
        return self.output_proj(rearrange(attended, "... heads seq d_v -> ... seq (heads d_v)"))


def _shifted_exp(x: Float[Tensor, " ..."], dim: int) -> Float[Tensor, " ..."]:
    """e^(x - max) along `dim`, so at most 1: softmax but for the division.

    The shift cancels in the quotient, and so does its gradient, which `detach` saves computing.
    """
    return (x - x.detach().amax(dim, keepdim=True)).exp_()
