"""Relative positions, written in other ways."""

from __future__ import annotations

import math

import torch

from grader.misconceptions.catalogue import Variant

HERE = "architecture.relative_positions"


def _check(key_vectors, value_vectors):
    if len(key_vectors) % 2 != 1:
        raise ValueError(f"need 2 m + 1 vectors, not {len(key_vectors)}")
    if value_vectors is not None and value_vectors.shape[0] != key_vectors.shape[0]:
        raise ValueError(f"{value_vectors.shape[0]} vectors for values, {key_vectors.shape[0]} for keys")


def _by_loops(Q, K, V, key_vectors, value_vectors=None, causal=False):
    _check(key_vectors, value_vectors)
    seq, m = Q.shape[-2], len(key_vectors) // 2
    rows = []
    for i in range(seq):
        seen = range(i + 1 if causal else seq)
        places = [max(-m, min(m, j - i)) + m for j in seen]
        keys = K[..., : len(seen), :] + key_vectors[places]
        scores = (keys * Q[..., i : i + 1, :]).sum(-1) / math.sqrt(Q.shape[-1])
        values = V[..., : len(seen), :]
        if value_vectors is not None:
            values = values + value_vectors[places]
        rows.append((torch.softmax(scores, -1).unsqueeze(-1) * values).sum(-2))
    return torch.stack(rows, -2)


def _all_vectors_first(Q, K, V, key_vectors, value_vectors=None, causal=False):
    """Products with every vector, gathered afterwards: no [seq, seq, d_k] tensor (Huang et al., 2018)."""
    _check(key_vectors, value_vectors)
    seq, m = Q.shape[-2], (len(key_vectors) - 1) // 2
    i = torch.arange(seq)
    row = (i[None] - i[:, None]).clamp(-m, m) + m
    scores = Q @ K.mT + (Q @ key_vectors.mT).gather(-1, row.expand(*Q.shape[:-1], seq))
    scores = scores * Q.shape[-1] ** -0.5
    if causal:
        scores = scores + torch.full((seq, seq), -torch.inf, dtype=Q.dtype).triu(1)
    weights = scores.softmax(-1)
    if value_vectors is None:
        return weights @ V
    of_row = torch.zeros(*weights.shape[:-1], len(value_vectors), dtype=V.dtype)
    return weights @ V + of_row.scatter_add(-1, row.expand_as(weights), weights) @ value_vectors


def _refuse(num_buckets, max_distance, bidirectional):
    n = num_buckets // 2 if bidirectional else num_buckets
    if (bidirectional and num_buckets % 2) or n < 2 or max_distance <= n // 2:
        raise ValueError(f"{num_buckets} buckets up to {max_distance} ({n // 2} of a direction are exact) cannot be")


def _published(ahead, num_buckets=32, max_distance=128, bidirectional=True):
    _refuse(num_buckets, max_distance, bidirectional)
    ret, n = 0, -ahead
    if bidirectional:
        num_buckets //= 2
        ret = (n < 0).to(torch.long) * num_buckets
        n = torch.abs(n)
    else:
        n = torch.max(n, torch.zeros_like(n))
    max_exact = num_buckets // 2
    large = max_exact + (
        torch.log(n.float() / max_exact + 1e-30) / math.log(max_distance / max_exact) * (num_buckets - max_exact)
    ).to(torch.long)
    return ret + torch.where(n < max_exact, n, torch.min(large, torch.full_like(large, num_buckets - 1)))


def _number_by_number(ahead, num_buckets=32, max_distance=128, bidirectional=True):
    """In Python's numbers, in float64."""
    _refuse(num_buckets, max_distance, bidirectional)
    n = num_buckets // 2 if bidirectional else num_buckets
    exact = n // 2

    def bucket(step):
        distance = abs(step) if bidirectional else max(-step, 0)
        if distance >= exact:
            wide = exact + math.floor(math.log(distance / exact, max_distance / exact) * (n - exact))
            distance = min(wide, n - 1)
        return distance + (n if bidirectional and step > 0 else 0)

    return torch.tensor([bucket(step) for step in ahead.flatten().tolist()]).reshape(ahead.shape)


def _looked_up(table, query_positions, key_positions, max_distance=128, bidirectional=True):
    ahead = key_positions[None, :] - query_positions[:, None]
    buckets = _published(ahead, table.shape[0], max_distance, bidirectional)
    return torch.stack([head[buckets] for head in table.unbind(1)])


def _bias_in_mask(Q, K, V, bias, mask=None):
    added = bias if mask is None else bias + torch.zeros(mask.shape).to(bias).masked_fill(~mask, -math.inf)
    return torch.softmax(torch.einsum("...qd,...kd->...qk", Q, K) + added, dim=-1) @ V


VARIANTS = (
    Variant("vectors-by-loops", "relative_positions", {f"{HERE}.relative_attention": _by_loops}),
    Variant("vectors-gathered", "relative_positions", {f"{HERE}.relative_attention": _all_vectors_first}),
    Variant("buckets-as-published", "relative_positions", {f"{HERE}.t5_buckets": _published}),
    Variant("buckets-number-by-number", "relative_positions", {f"{HERE}.t5_buckets": _number_by_number}),
    Variant("bias-head-by-head", "relative_positions", {f"{HERE}.t5_bias": _looked_up}),
    Variant("bias-in-the-mask", "relative_positions", {f"{HERE}.t5_attention": _bias_in_mask}),
)
