"""Attention that never holds all of its scores."""

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
    raise NotImplementedError(
        "online_attention: write online_attention in cs336_basics/architecture/online_attention.py"
    )
