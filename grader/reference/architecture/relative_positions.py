"""Learned vectors and biases for how far a key is from its query."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..attention import softmax


def relative_attention(
    Q: Float[Tensor, " ... seq d_k"],
    K: Float[Tensor, " ... seq d_k"],
    V: Float[Tensor, " ... seq d_v"],
    key_vectors: Float[Tensor, "distances d_k"],
    value_vectors: Float[Tensor, "distances d_v"] | None = None,
    causal: bool = False,
) -> Float[Tensor, " ... seq d_v"]:
    """Attention with a learned vector for each distance (Shaw et al., 2018, equations 3 and 4), which all heads share:

        score_ij = q_i (k_j + a_r) / sqrt(d_k)        output_i = sum_j softmax(score)_ij (v_j + b_r)

    where r = min(max(j - i, -m), m) is how far ahead of the query the key is, clipped to -m .. m.

    Args:
        Q, K, V: as for `scaled_dot_product_attention`, with as many queries as keys.
        key_vectors: the vectors a, 2 m + 1 rows for r = -m, ..., 0, ..., m.
        value_vectors: the vectors b, as many; None means that values are plain.
        causal: whether a query sees only its own key and those before it.

    Raises:
        ValueError: the number of key_vectors is even, or value_vectors are not as many; the message has the numbers.

    Problem: relative_positions
    """
    rows = len(key_vectors)
    if rows % 2 == 0:
        raise ValueError(f"there are {rows} key_vectors; distances -m .. m are an odd number, 2 m + 1.")
    if value_vectors is not None and len(value_vectors) != rows:
        raise ValueError(f"there are {rows} key_vectors and {len(value_vectors)} value_vectors; take as many of both.")
    positions = torch.arange(Q.shape[-2], device=Q.device)
    ahead = _ahead(positions, positions)
    row = ahead.clamp(-(rows // 2), rows // 2) + rows // 2
    of_distance = torch.einsum("...id,ijd->...ij", Q, key_vectors[row])
    scores = (Q @ K.transpose(-2, -1) + of_distance) / math.sqrt(Q.shape[-1])
    if causal:
        scores = scores.masked_fill(ahead > 0, -math.inf)
    weights = softmax(scores, dim=-1)
    attended = weights @ V
    if value_vectors is not None:
        attended = attended + torch.einsum("...ij,ijd->...id", weights, value_vectors[row])
    return attended


def t5_buckets(
    ahead: Int[Tensor, " ..."], num_buckets: int = 32, max_distance: int = 128, bidirectional: bool = True
) -> Int[Tensor, " ..."]:
    """The bucket of each distance: exact near the query, and wider and wider away from it (Raffel et al., 2020,
    section 2.1, and its published code).

    `ahead` is the key's position minus the query's. If bidirectional, the lower half of the buckets is for keys at
    ahead <= 0, the upper half for those at ahead > 0, by their distance |ahead|. Otherwise all n buckets are for
    ahead <= 0, and keys ahead of the query count as distance 0. Of n buckets for one direction, with e = n // 2,

        distance < e:     the distance
        from e on:        e + floor(log(distance / e) / log(max_distance / e) * (n - e)), at most n - 1

    Args:
        ahead: int64.
        num_buckets: of both directions together; at least 2, and if bidirectional, even and at least 4.
        max_distance: from here on, all distances share the last bucket; above e.
        bidirectional: whether keys ahead of the query have buckets of their own.

    Raises:
        ValueError: num_buckets is too small, or odd where it has to be halved, or max_distance is not above e; the
            message has the values.

    Problem: relative_positions
    """
    least = 4 if bidirectional else 2
    if num_buckets < least or (bidirectional and num_buckets % 2):
        why = " and even, as both directions share them equally" if bidirectional else ""
        raise ValueError(f"num_buckets is {num_buckets}, and must be at least {least}{why}.")
    n = num_buckets // 2 if bidirectional else num_buckets
    exact = n // 2
    if max_distance <= exact:
        raise ValueError(
            f"max_distance is {max_distance}, and of {num_buckets} buckets {exact} are exact; take a larger distance."
        )
    distance = ahead.abs() if bidirectional else (-ahead).clamp(min=0)
    # In float32, as in the published code, by whose buckets weights were trained.
    ratio = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    wide = (exact + (ratio * (n - exact)).long()).clamp(max=n - 1)
    bucket = torch.where(distance < exact, distance, wide)
    return bucket + n * (ahead > 0) if bidirectional else bucket


def t5_bias(
    table: Float[Tensor, "num_buckets heads"],
    query_positions: Int[Tensor, " queries"],
    key_positions: Int[Tensor, " keys"],
    max_distance: int = 128,
    bidirectional: bool = True,
) -> Float[Tensor, "heads queries keys"]:
    """What is added to every head's scores: the number that `table` has for the bucket of the key's distance.

    Raises:
        ValueError: as for `t5_buckets`; num_buckets is the number of rows of `table`.

    Problem: relative_positions
    """
    ahead = _ahead(query_positions, key_positions)
    return table[t5_buckets(ahead, len(table), max_distance, bidirectional)].permute(2, 0, 1)


def t5_attention(
    Q: Float[Tensor, " ... heads queries d_k"],
    K: Float[Tensor, " ... heads keys d_k"],
    V: Float[Tensor, " ... heads keys d_v"],
    bias: Float[Tensor, "heads queries keys"],
    mask: Bool[Tensor, " ... queries keys"] | None = None,
) -> Float[Tensor, " ... heads queries d_v"]:
    """softmax(Q K^T + bias) V, with no division by sqrt(d_k): T5 has that in how its weights start.

    Args:
        Q, K, V, mask: as for `scaled_dot_product_attention`.
        bias: as `t5_bias` gives it.

    Problem: relative_positions
    """
    scores = Q @ K.transpose(-2, -1) + bias
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return softmax(scores, dim=-1) @ V


def _ahead(
    query_positions: Int[Tensor, " queries"], key_positions: Int[Tensor, " keys"]
) -> Int[Tensor, "queries keys"]:
    """How far ahead of each query each key is; negative behind it."""
    return key_positions - query_positions.unsqueeze(-1)
