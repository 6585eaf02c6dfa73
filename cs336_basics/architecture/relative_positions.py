"""Learned vectors and biases for how far a key is from its query."""

from jaxtyping import Bool, Float, Int
from torch import Tensor


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
    raise NotImplementedError(
        "relative_positions: write relative_attention in cs336_basics/architecture/relative_positions.py"
    )


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
    raise NotImplementedError("relative_positions: write t5_buckets in cs336_basics/architecture/relative_positions.py")


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
    raise NotImplementedError("relative_positions: write t5_bias in cs336_basics/architecture/relative_positions.py")


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
    raise NotImplementedError(
        "relative_positions: write t5_attention in cs336_basics/architecture/relative_positions.py"
    )
