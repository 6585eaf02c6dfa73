"""Attention that never holds all of its scores."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def online_attention(
    Q: Float[Tensor, " ... queries d_k"],
    K: Float[Tensor, " ... keys d_k"],
    V: Float[Tensor, " ... keys d_v"],
    chunk_size: int,
    causal: bool = False,
) -> Float[Tensor, " ... queries d_v"]:
    """Scaled dot-product attention, `chunk_size` keys at a time (Rabe and Staats, 2021; Milakov and Gimelshein, 2018).

    Of the chunks so far, each query keeps the largest score m, the sum l of e^(score - m), and the sum o of
    e^(score - m) v. With the scores s_j of the next chunk:

        m' = max(m, max_j s_j)
        l' = e^(m - m') l + sum_j e^(s_j - m')
        o' = e^(m - m') o + sum_j e^(s_j - m') v_j

    At the end, the output is o / l. At no time are there more scores than those of one chunk, [... queries chunk_size],
    also not in pieces. For float16 and bfloat16 inputs, scores and sums are float32.

    Args:
        Q, K, V: as for `scaled_dot_product_attention`.
        chunk_size: keys per chunk, at least 1; the last chunk may be shorter.
        causal: whether queries see only some of the keys. Queries are the last of the positions that keys have: query i
            sees the keys 0 .. keys - queries + i, as when a model goes on writing after what is in its cache.

    Returns:
        What attention gives, with the dtype of Q.

    Raises:
        ValueError: chunk_size is below 1, or if causal, there are more queries than keys, so that the first would see
            none; the message has the numbers.

    Problem: online_attention
    """
    queries, keys = Q.shape[-2], K.shape[-2]
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}, and must be at least 1.")
    if causal and queries > keys:
        raise ValueError(
            f"{queries} queries cannot be the last of {keys} positions; a causal query needs a key to see."
        )
    wide = torch.promote_types(Q.dtype, torch.float32)
    scaled = Q.to(wide) / math.sqrt(Q.shape[-1])
    top = scaled.new_full((*Q.shape[:-1], 1), -math.inf)
    total, attended = torch.zeros_like(top), scaled.new_zeros(*Q.shape[:-1], V.shape[-1])
    last_seen = torch.arange(keys - queries, keys, device=Q.device).unsqueeze(-1)
    for start in range(0, keys, chunk_size):
        k, v = (x[..., start : start + chunk_size, :].to(wide) for x in (K, V))
        scores = scaled @ k.transpose(-2, -1)
        if causal:
            later = torch.arange(start, start + k.shape[-2], device=Q.device) > last_seen
            scores = scores.masked_fill(later, -math.inf)
        # Finite from the first chunk on, as every query sees key 0: there is no e^(-inf - -inf).
        new_top = torch.maximum(top, scores.amax(dim=-1, keepdim=True))
        weights, shrink = torch.exp(scores - new_top), torch.exp(top - new_top)
        total = total * shrink + weights.sum(dim=-1, keepdim=True)
        attended = attended * shrink + weights @ v
        top = new_top
    return (attended / total).to(Q.dtype)
