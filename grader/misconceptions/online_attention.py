"""How attention by chunks goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import online_attention as module

from .catalogue import Misconception, replacing
from .together import assembled

_right = module.online_attention


def _scaled(scores: Tensor, d_k: int) -> Tensor:
    return scores / math.sqrt(d_k)


def _running(top: Tensor, scores: Tensor) -> Tensor:
    return torch.maximum(top, scores.amax(-1, keepdim=True))


def _shrink(top: Tensor, new_top: Tensor) -> Tensor:
    return torch.exp(top - new_top)


def _later(key: Tensor, query: Tensor, offset: int) -> Tensor:
    return key > query + offset


def _every(keys: int, size: int) -> range:
    return range(0, keys, size)


def _places(start: int, length: int) -> Tensor:
    return torch.arange(start, start + length)


def _quotient(attended: Tensor, total: Tensor) -> Tensor:
    return attended / total


@assembled
def _chunked(
    scale: Callable[[Tensor, int], Tensor] = _scaled,
    new_maximum: Callable[[Tensor, Tensor], Tensor] = _running,
    shrink_sum: Callable[[Tensor, Tensor], Tensor] = _shrink,
    shrink_output: Callable[[Tensor, Tensor], Tensor] = _shrink,
    later: Callable[[Tensor, Tensor, int], Tensor] = _later,
    starts: Callable[[int, int], range] = _every,
    places: Callable[[int, int], Tensor] = _places,
    finish: Callable[[Tensor, Tensor], Tensor] = _quotient,
    first_maximum: float = -math.inf,
    wide: bool = True,
    checked: bool = True,
    prepare: Callable[[Tensor], Tensor] = lambda x: x,
):
    """Attention by chunks with every step open to replacement."""

    def online_attention(Q, K, V, chunk_size, causal=False):
        if checked:
            if chunk_size < 1:
                raise ValueError(f"chunk_size is {chunk_size}.")
            if causal and Q.shape[-2] > K.shape[-2]:
                raise ValueError(f"{Q.shape[-2]} queries, {K.shape[-2]} keys.")
        chunk_size = max(chunk_size, 1)
        dtype = torch.promote_types(Q.dtype, torch.float32) if wide else Q.dtype
        q, k, v = (prepare(x).to(dtype) for x in (Q, K, V))
        top = q.new_full((*q.shape[:-1], 1), first_maximum)
        total, attended = torch.zeros_like(top), q.new_zeros(*q.shape[:-1], v.shape[-1])
        query = torch.arange(q.shape[-2]).unsqueeze(-1)
        for start in starts(k.shape[-2], chunk_size):
            ks, vs = (x[..., start : start + chunk_size, :] for x in (k, v))
            scores = scale(q @ ks.mT, q.shape[-1])
            if causal:
                hidden = later(places(start, ks.shape[-2]), query, k.shape[-2] - q.shape[-2])
                scores = scores.masked_fill(hidden, -math.inf)
            new = new_maximum(top, scores)
            weights = torch.exp(scores - new)
            total = total * shrink_sum(top, new) + weights.sum(-1, keepdim=True)
            attended = attended * shrink_output(top, new) + weights @ vs
            top = new
        return finish(attended, total).to(Q.dtype)

    return online_attention


def _unscaled(scores, d_k):
    return scores


def _scaled_by_d(scores, d_k):
    return scores / d_k


def _of_this_chunk(top, scores):
    return scores.amax(-1, keepdim=True)


def _never(top, new_top):
    return torch.ones_like(new_top)


def _the_wrong_way(top, new_top):
    """Grows where it should shrink, and by 1 at the first chunk, where there is nothing yet."""
    return torch.where(top.isinf(), 1.0, torch.exp(new_top - top))


def _no_maximum(top, scores):
    return torch.zeros_like(scores[..., :1])


def _of_all_queries(top, scores):
    """One maximum for all: fine as long as all scores are of a size."""
    return torch.maximum(top, scores.amax().expand_as(top))


def _full_chunks_only(keys, size):
    return range(0, max(keys - size + 1, 1), size)


def _nothing_later(key, query, offset):
    return key > query + offset + len(key) + 10**6


def _aligned_at_the_start(key, query, offset):
    return key > query


def _own_key_too(key, query, offset):
    return (key >= query + offset) & (key > 0)


def _within_the_chunk(start, length):
    return torch.arange(length)


def _undivided(attended, total):
    return attended


def _detached(x):
    return x.detach() + 0 * x


def _mean_of_chunks(Q, K, V, chunk_size, causal=False):
    """Attention in each chunk, and the average of what comes of it."""
    _right(Q, K, V, chunk_size, causal)
    if causal:
        return _right(Q, K, V, chunk_size, causal)
    chunks = list(zip(K.split(chunk_size, -2), V.split(chunk_size, -2), strict=True))
    attended = torch.zeros_like(Q[..., :1])
    for k, v in chunks:
        attended = attended + torch.softmax(Q @ k.mT / math.sqrt(Q.shape[-1]), -1) @ v
    return attended / len(chunks)


def _all_at_once(Q, K, V, chunk_size, causal=False):
    return _right(Q, K, V, max(chunk_size, K.shape[-2]) if chunk_size > 0 else chunk_size, causal)


def _kept_in_a_list(Q, K, V, chunk_size, causal=False):
    """All chunks of scores first, for the maximum of all."""
    _right(Q[..., :1, :], K, V, chunk_size, False)
    if causal:
        return _right(Q, K, V, chunk_size, causal)
    wide = torch.promote_types(Q.dtype, torch.float32)
    q, k, v = (x.to(wide) for x in (Q, K, V))
    scores = [q @ part.mT / math.sqrt(Q.shape[-1]) for part in k.split(chunk_size, -2)]
    top = torch.stack([s.amax(-1, keepdim=True) for s in scores]).amax(0)
    total: Any = 0.0
    attended: Any = 0.0
    for s, part in zip(scores, v.split(chunk_size, -2), strict=True):
        e = torch.exp(s - top)
        total, attended = total + e.sum(-1, keepdim=True), attended + e @ part
    return (attended / total).to(Q.dtype)


def _chunks_of_queries(Q, K, V, chunk_size, causal=False):
    """Few queries at a time, and all keys."""
    _right(Q, K, V, chunk_size, causal)
    if causal:
        return _right(Q, K, V, chunk_size, causal)
    return torch.cat([_right(q, K, V, K.shape[-2]) for q in Q.split(chunk_size, -2)], -2)


def _in_place(Q, K, V, chunk_size, causal=False):
    if chunk_size < 1 or (causal and Q.shape[-2] > K.shape[-2]):
        return _right(Q, K, V, chunk_size, causal)
    Q.div_(math.sqrt(Q.shape[-1]))
    return _chunked(_unscaled)(Q, K, V, chunk_size, causal)


NAME = "architecture.online_attention.online_attention"


def _bug(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return replacing("online_attention", NAME, "Your attention by chunks ", id, function, diagnosis, hint, **options)


MISCONCEPTIONS = (
    _bug(
        "output-not-corrected",
        _chunked(shrink_output=_never),
        "does not correct the output so far when a larger score appears.",
        "What is the output so far divided by, if the maximum was 1 and is now 3?",
        frequency="common",
    ),
    _bug(
        "sum-not-corrected",
        _chunked(shrink_sum=_never),
        "does not correct the sum so far when a larger score appears.",
        "With equal values, is the output that value?",
        frequency="common",
    ),
    _bug(
        "nothing-corrected",
        _chunked(shrink_sum=_never, shrink_output=_never),
        "corrects neither sum nor output when a larger score appears, so that early keys count for too much.",
        "Which number was taken away from the scores of the first chunk, and which from those of the last?",
    ),
    _bug(
        "corrects-the-wrong-way",
        _chunked(shrink_sum=_the_wrong_way, shrink_output=_the_wrong_way),
        "multiplies by e^(m' - m), where it should be e^(m - m').",
        "Does the sum so far become larger or smaller, if the maximum grows?",
    ),
    _bug(
        "maximum-of-this-chunk",
        _chunked(new_maximum=_of_this_chunk, shrink_sum=_never, shrink_output=_never),
        "takes away the maximum of each chunk, and sums up as if all had the same.",
        "Which chunk counts most in your code, if the scores fall?",
        frequency="common",
    ),
    _bug(
        "averages-chunks",
        _mean_of_chunks,
        "takes the average of what each chunk gives by itself.",
        "How much does a chunk count whose scores are all far below the others?",
        frequency="common",
    ),
    _bug(
        "without-maximum",
        _chunked(new_maximum=_no_maximum, first_maximum=0.0),
        "takes the exponential of scores as they are, which overflows from 89 on in float32.",
        "What does it give for scores of 200?",
        frequency="common",
    ),
    _bug(
        "maximum-begins-at-zero",
        _chunked(first_maximum=0.0),
        "begins its maximum at 0, so that nothing is left of scores far below it.",
        "What does it give if all scores are -200?",
        frequency="common",
    ),
    _bug(
        "last-chunk-lost",
        _chunked(starts=_full_chunks_only),
        "leaves out the last chunk, if it is shorter than the others.",
        "How many keys are in your chunks, of five in chunks of four?",
    ),
    _bug(
        "without-scale",
        _chunked(_unscaled),
        "does not divide its scores by sqrt(d_k).",
        "What does scaled dot-product attention divide by?",
        forms=[_chunked(_scaled_by_d)],
        throughout=True,
    ),
    _bug(
        "never-divides",
        _chunked(finish=_undivided),
        "does not divide by the sum at the end.",
        "With equal values, is the output that value?",
        throughout=True,
    ),
    _bug(
        "all-scores-at-once",
        _all_at_once,
        "computes all scores at once.",
        "Print the shape of your scores: does it have all keys?",
        frequency="common",
    ),
    _bug(
        "keeps-all-chunks",
        _kept_in_a_list,
        "keeps the scores of all chunks in a list until it knows their maximum.",
        "How many numbers are in that list at its longest?",
    ),
    _bug(
        "chunks-of-queries",
        _chunks_of_queries,
        "makes chunks of queries, each of which has the scores of all keys.",
        "Print the shape of your scores: does it have all keys?",
    ),
    _bug(
        "ignores-causal",
        _chunked(later=_nothing_later),
        "ignores causal.",
        "Change the last key: do the outputs before it stay the same?",
    ),
    _bug(
        "causal-within-chunks",
        _chunked(places=_within_the_chunk),
        "numbers the keys of each chunk from 0, so that later chunks are seen too early.",
        "Which position has the first key of the second chunk?",
        frequency="common",
    ),
    _bug(
        "causal-from-the-start",
        _chunked(later=_aligned_at_the_start),
        "counts queries from position 0, where they are the last of the positions.",
        "What does a single query see, beside five keys?",
        frequency="common",
    ),
    _bug(
        "hides-own-key",
        _chunked(later=_own_key_too),
        "hides each query's own key.",
        "How many keys does the second query see?",
        frequency="rare",
    ),
    _bug(
        "sums-in-half-precision",
        _chunked(wide=False),
        "adds up its sums in the dtype of its inputs: in bfloat16, each has three digits.",
        "What is 256 + 1 in bfloat16?",
        frequency="common",
    ),
    _bug(
        "takes-impossible-settings",
        _chunked(checked=False),
        "takes chunks of 0 keys, or causal queries that see none.",
        "Which key does the first of five causal queries see, if there are three?",
    ),
    _bug(
        "detached",
        _chunked(prepare=_detached),
        "is cut off from its inputs, which get no gradients.",
        "Which gradient has Q after backward()?",
        frequency="rare",
    ),
    _bug(
        "changes-queries",
        _in_place,
        "divides its queries in place.",
        "Print Q before and after a call.",
        frequency="rare",
    ),
)
