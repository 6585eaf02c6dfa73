"""How relative positions go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import relative_positions

from .catalogue import Misconception, replacing
from .together import assembled

_buckets, _t5 = relative_positions.t5_buckets, relative_positions.t5_attention
_refuses = relative_positions.relative_attention


def _clipped(ahead: Tensor, m: int) -> Tensor:
    return ahead.clamp(-m, m) + m


def _both_divided(products: Tensor, of_distance: Tensor, root: float) -> Tensor:
    return (products + of_distance) / root


def _times_vectors(Q: Tensor, vectors: Tensor) -> Tensor:
    return torch.einsum("...id,ijd->...ij", Q, vectors)


def _weighed(weights: Tensor, vectors: Tensor) -> Tensor:
    return torch.einsum("...ij,ijd->...id", weights, vectors)


def _hidden(ahead: Tensor) -> Tensor:
    return ahead > 0


@assembled
def _shaw(
    row: Callable[[Tensor, int], Tensor] = _clipped,
    score: Callable[[Tensor, Tensor, float], Tensor] = _both_divided,
    for_keys: Callable[[Tensor, Tensor], Tensor] = _times_vectors,
    for_values: Callable[[Tensor, Tensor], Tensor] = _weighed,
    hidden: Callable[[Tensor], Tensor] = _hidden,
    vectors_of_values: Callable[[Tensor, Tensor], Tensor] = lambda keys, values: values,
    checked: bool = True,
):
    """Attention with other rows for distances, or another use of the vectors."""

    def relative_attention(Q, K, V, key_vectors, value_vectors=None, causal=False):
        if checked:
            _refuses(Q, K, V, key_vectors, value_vectors, causal)
        i = torch.arange(Q.shape[-2])
        ahead = i - i.unsqueeze(-1)
        place = row(ahead, len(key_vectors) // 2)
        scores = score(Q @ K.mT, for_keys(Q, key_vectors[place]), math.sqrt(Q.shape[-1]))
        if causal:
            scores = scores.masked_fill(hidden(ahead), -math.inf)
        weights = torch.softmax(scores, -1)
        attended = weights @ V
        if value_vectors is not None:
            attended = attended + for_values(weights, vectors_of_values(key_vectors, value_vectors)[place])
        return attended

    return relative_attention


def _turned_round(ahead, m):
    return (-ahead).clamp(-m, m) + m


def _absolute(ahead, m):
    return ahead.abs().clamp(max=m) + m


def _wrapped(ahead, m):
    return (ahead + m) % (2 * m + 1)


def _one_too_near(ahead, m):
    """Distances beyond m - 1 are all the same."""
    return ahead.clamp(-max(m - 1, 0), max(m - 1, 0)) + m


def _from_zero(ahead, m):
    """Row 0 for the query's own key, and negative rows from the end."""
    return ahead.clamp(-m, m)


def _only_products(products, of_distance, root):
    return products / root + of_distance


def _undivided(products, of_distance, root):
    return products + of_distance


def _without_keys(products, of_distance, root):
    return products / root + 0 * of_distance


def _without_values(weights, vectors):
    return 0 * _weighed(weights, vectors)


def _not_weighed(weights, vectors):
    return vectors.mean(1).expand(*weights.shape[:-1], -1)


def _summed_up(Q, vectors):
    """Adds up the vector, where it should be multiplied with the query."""
    return vectors.sum(-1) + 0 * Q[..., :1]


def _detached_vectors(weights, vectors):
    return _weighed(weights, vectors.detach())


def _nothing(ahead):
    return ahead > len(ahead)


def _own_key_too(ahead):
    """The query's own key is hidden as well, but for the first."""
    return (ahead > 0) | ((ahead == 0) & (torch.arange(len(ahead)).unsqueeze(-1) > 0))


def _shaw_in_place(Q, K, V, key_vectors, value_vectors=None, causal=False):
    Q.div_(math.sqrt(Q.shape[-1]))
    return _shaw(score=_undivided)(Q, K, V, key_vectors, value_vectors, causal)


# ------------------------------------------------------------------------------------------------------------


def _as_it_is(ahead: Tensor) -> Tensor:
    return ahead


def _back(ahead: Tensor) -> Tensor:
    return (-ahead).clamp(min=0)


def _upper_half(ahead: Tensor) -> Tensor:
    return ahead > 0


def _cut(x: Tensor) -> Tensor:
    return x.long()


def _half(n: int) -> int:
    return n // 2


def _scaled(distance: Tensor, exact: int, max_distance: int) -> Tensor:
    return torch.log(distance.clamp(min=1) / exact) / math.log(max_distance / exact)


@assembled
def _bucketing(
    direction: Callable[[Tensor], Tensor] = _as_it_is,
    back: Callable[[Tensor], Tensor] = _back,
    upper: Callable[[Tensor], Tensor] = _upper_half,
    to_integer: Callable[[Tensor], Tensor] = _cut,
    exact_of: Callable[[int], int] = _half,
    place: Callable[[Tensor, int, int], Tensor] = _scaled,
    halved: bool = True,
    last: int = 1,
    checked: bool = True,
):
    """Buckets with another piece of their formula."""

    def t5_buckets(ahead, num_buckets=32, max_distance=128, bidirectional=True):
        if checked:
            _buckets(ahead, num_buckets, max_distance, bidirectional)
        ahead = direction(ahead)
        n = num_buckets // 2 if bidirectional and halved else num_buckets
        exact = exact_of(n)
        distance = ahead.abs() if bidirectional else back(ahead)
        wide = exact + to_integer(place(distance, exact, max_distance) * (n - exact))
        bucket = torch.where(distance < exact, distance, wide.clamp(max=n - last))
        return bucket + (num_buckets // 2) * upper(ahead) if bidirectional else bucket

    return t5_buckets


def _negated(ahead):
    return -ahead


def _distance_either_way(ahead):
    return ahead.abs()


def _own_too(ahead):
    return ahead >= 0


def _rounded(x):
    return x.round().long()


def _up(x):
    return x.ceil().long()


def _all_exact(n):
    return n - 1


def _of_the_difference(distance, exact, max_distance):
    """Begins its logarithm at 1 where it should begin at the last exact distance."""
    return torch.log(distance.clamp(min=1).float()) / math.log(max_distance)


def _evenly(distance, exact, max_distance):
    return (distance - exact) / (max_distance - exact)


@assembled
def _bias(turn: Callable[[Tensor], Tensor] = _as_it_is, take: Any = None):
    """The bias with distances turned round, or another use of the table."""

    def t5_bias(table, query_positions, key_positions, max_distance=128, bidirectional=True):
        ahead = turn(key_positions - query_positions.unsqueeze(-1))
        buckets = relative_positions.t5_buckets(ahead, len(table), max_distance, bidirectional)
        return table[buckets].permute(2, 0, 1) if take is None else take(table, buckets)

    return t5_bias


def _ignores_positions(table, query_positions, key_positions, max_distance=128, bidirectional=True):
    queries, keys = (torch.arange(len(positions)) for positions in (query_positions, key_positions))
    ahead = keys - queries.unsqueeze(-1)
    return table[relative_positions.t5_buckets(ahead, len(table), max_distance, bidirectional)].permute(2, 0, 1)


def _first_head(table, buckets):
    return table[:, :1][buckets].permute(2, 0, 1).expand(table.shape[1], -1, -1)


def _queries_last(table, buckets):
    """Heads come first, and then keys and queries, whose numbers are the same in training."""
    return table[buckets].permute(2, 1, 0).reshape(table.shape[1], *buckets.shape)


def _detached_table(table, buckets):
    return table.detach()[buckets].permute(2, 0, 1) + 0 * table.sum()


def _divided(Q, K, V, bias, mask=None):
    return _t5(Q / math.sqrt(Q.shape[-1]), K, V, bias, mask)


def _bias_divided(Q, K, V, bias, mask=None):
    return _t5(Q, K, V, bias / math.sqrt(Q.shape[-1]), mask)


def _after_softmax(Q, K, V, bias, mask=None):
    scores = Q @ K.mT
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return (torch.softmax(scores, -1) + bias) @ V


def _forgets_bias(Q, K, V, bias, mask=None):
    return _t5(Q, K, V, 0 * bias, mask)


def _forgets_mask(Q, K, V, bias, mask=None):
    return _t5(Q, K, V, bias)


def _scales_in_place(Q, K, V, bias, mask=None):
    Q.mul_(1.5)
    return _t5(Q / 1.5, K, V, bias, mask)


def _bug(name: str, begins: str) -> Callable[..., Misconception]:
    def bug(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
        place = f"architecture.relative_positions.{name}"
        return replacing("relative_positions", place, begins, id, function, diagnosis, hint, **options)

    return bug


_vectors = _bug("relative_attention", "Your attention with vectors for distances ")
_bucket = _bug("t5_buckets", "Your buckets ")
_of_table = _bug("t5_bias", "Your bias ")
_attention = _bug("t5_attention", "Your attention with a bias ")

MISCONCEPTIONS = (
    _vectors(
        "vectors-turned-round",
        _shaw(_turned_round),
        "takes the query's position minus the key's, so that keys ahead get the vectors of those behind.",
        "Which row belongs to the key before the query?",
        frequency="common",
    ),
    _vectors(
        "vectors-of-absolute-distance",
        _shaw(_absolute),
        "has the same vector for keys ahead and behind.",
        "Are rows 0 to m - 1 ever used?",
    ),
    _vectors(
        "vectors-not-clipped",
        _shaw(_wrapped),
        "does not clip distances, so that far keys begin anew at the other end of the table.",
        "Which row does a key have that is m + 1 ahead?",
        frequency="common",
    ),
    _vectors(
        "clipped-one-too-near",
        _shaw(_one_too_near),
        "clips distances to m - 1.",
        "Are the first and the last row ever used?",
    ),
    _vectors(
        "own-key-in-row-zero",
        _shaw(_from_zero),
        "takes row 0 for the query's own key, and negative rows count from the end.",
        "Which row belongs to distance 0?",
        frequency="common",
    ),
    _vectors(
        "vectors-not-divided",
        _shaw(score=_only_products),
        "divides only the products of queries and keys by sqrt(d_k), and not those with the vectors.",
        "What is divided in the formula?",
        frequency="common",
    ),
    _vectors(
        "scores-not-divided",
        _shaw(score=_undivided),
        "does not divide its scores by sqrt(d_k).",
        "What is divided in the formula?",
    ),
    _vectors(
        "without-key-vectors",
        _shaw(score=_without_keys),
        "does not use the vectors for keys.",
        "Do the vectors for keys have a gradient after backward()?",
        frequency="rare",
    ),
    _vectors(
        "key-vectors-without-query",
        _shaw(for_keys=_summed_up),
        "adds up the numbers of a vector, where their product with the query is asked for.",
        "Change one query: do only its products with the vectors change?",
        frequency="rare",
    ),
    _vectors(
        "without-value-vectors",
        _shaw(for_values=_without_values),
        "does not use the vectors for values.",
        "Do the vectors for values have a gradient after backward()?",
        frequency="common",
    ),
    _vectors(
        "value-vectors-not-weighed",
        _shaw(for_values=_not_weighed),
        "adds the vectors for values without their weights.",
        "With which number is b_r multiplied in the formula?",
    ),
    _vectors(
        "key-vectors-for-values",
        _shaw(vectors_of_values=lambda keys, values: keys + 0 * values),
        "adds the keys' vectors to the values.",
        "How many tables does your code look into?",
        frequency="rare",
    ),
    _vectors(
        "value-vectors-detached",
        _shaw(for_values=_detached_vectors),
        "detaches the vectors for values, which never learn.",
        "Do the vectors for values have a gradient after backward()?",
        frequency="rare",
    ),
    _vectors(
        "ignores-causal",
        _shaw(hidden=_nothing),
        "ignores causal.",
        "Change the last token: do the outputs before it stay the same?",
    ),
    _vectors(
        "hides-own-key",
        _shaw(hidden=_own_key_too),
        "hides the query's own key, if causal.",
        "How many keys does the second query see?",
        frequency="rare",
    ),
    _vectors(
        "takes-impossible-vectors",
        _shaw(checked=False),
        "takes an even number of vectors, and other numbers of them for keys and values.",
        "Which distance has the middle row of four?",
    ),
    _vectors(
        "changes-queries",
        _shaw_in_place,
        "divides its queries in place.",
        "Print Q before and after a call.",
        frequency="rare",
    ),
    _bucket(
        "buckets-turned-round",
        _bucketing(_negated),
        "take keys ahead for keys behind.",
        "Which sign has `ahead` for the key before the query?",
        frequency="common",
    ),
    _bucket(
        "buckets-not-halved",
        _bucketing(halved=False),
        "give each direction all buckets, though both share them.",
        "Which is the largest bucket of a key behind?",
        frequency="common",
    ),
    _bucket(
        "upper-half-behind",
        _bucketing(upper=lambda ahead: ahead < 0),
        "have the upper half for keys behind.",
        "Which bucket has the key after the query?",
    ),
    _bucket(
        "own-key-in-upper-half",
        _bucketing(upper=_own_too),
        "count the query's own key to those ahead.",
        "Which bucket has distance 0?",
    ),
    _bucket(
        "keys-ahead-not-zero",
        _bucketing(back=_distance_either_way),
        "of one direction take the absolute distance for keys ahead, which should count as distance 0.",
        "What is the bucket of a key ahead, in a decoder?",
    ),
    _bucket(
        "buckets-rounded",
        _bucketing(to_integer=_rounded),
        "are rounded, where they should be cut off.",
        "What does `.long()` do to 2.7?",
        forms=[_bucketing(to_integer=_up)],
    ),
    _bucket(
        "buckets-all-exact",
        _bucketing(exact_of=_all_exact),
        "are all exact but the last: the wide ones are missing.",
        "How many buckets are exact in the formula?",
    ),
    _bucket(
        "logarithm-begins-at-one",
        _bucketing(place=_of_the_difference),
        "take the logarithm of the distance itself, and not of its quotient by the exact ones.",
        "Which bucket has the first distance that is not exact?",
    ),
    _bucket(
        "buckets-evenly-wide",
        _bucketing(place=_evenly),
        "are evenly wide beyond the exact ones.",
        "How many distances share the first wide bucket, and how many the last?",
        frequency="rare",
    ),
    _bucket(
        "last-bucket-unused",
        _bucketing(last=2),
        "never use the last one.",
        "Which is the largest bucket that you get?",
        frequency="rare",
    ),
    _bucket(
        "takes-impossible-buckets",
        _bucketing(checked=False),
        "are made also where they cannot be.",
        "What are 7 buckets for two directions?",
    ),
    _of_table(
        "bias-turned-round",
        _bias(_negated),
        "takes the query's position minus the key's.",
        "Which sign has the distance of the key before the query?",
        frequency="common",
    ),
    _of_table(
        "bias-ignores-positions",
        _ignores_positions,
        "counts from 0, whatever the positions are, which goes wrong as soon as there is a cache.",
        "Which position has the only query when a model writes its hundredth token?",
        frequency="common",
    ),
    _of_table(
        "bias-one-head-for-all",
        _bias(take=_first_head),
        "is that of the first head for all heads.",
        "Do all columns of the table have a gradient after backward()?",
    ),
    _of_table(
        "bias-keys-before-queries",
        _bias(take=_queries_last),
        "has queries and keys exchanged.",
        "Which row of the bias belongs to the last query?",
        frequency="rare",
    ),
    _of_table(
        "bias-detached",
        _bias(take=_detached_table),
        "is detached from its table, which never learns.",
        "Does the table have a gradient after backward()?",
        frequency="rare",
    ),
    _attention(
        "t5-scores-divided",
        _divided,
        "divides its scores by sqrt(d_k), which T5 does not.",
        "Which of the two formulas of this problem has a root?",
        frequency="common",
    ),
    _attention(
        "bias-divided",
        _bias_divided,
        "divides the bias by sqrt(d_k).",
        "Which of the two formulas of this problem has a root?",
        frequency="rare",
    ),
    _attention(
        "bias-after-softmax",
        _after_softmax,
        "adds the bias after the softmax.",
        "Do the weights of a query add up to 1?",
    ),
    _attention(
        "forgets-bias",
        _forgets_bias,
        "does not add the bias.",
        "Does the bias have a gradient after backward()?",
        frequency="rare",
    ),
    _attention(
        "forgets-mask",
        _forgets_mask,
        "ignores its mask.",
        "Change the last token: do the outputs before it stay the same?",
    ),
    _attention(
        "changes-scores-in-place",
        _scales_in_place,
        "changes its queries in place.",
        "Print Q before and after a call.",
        frequency="rare",
    ),
)
