"""Attention by chunks, written in other ways."""

from __future__ import annotations

import math
from typing import Any

import torch

from grader.misconceptions.catalogue import Variant

NAME = "architecture.online_attention.online_attention"


def _check(Q, K, chunk_size, causal):
    if chunk_size <= 0:
        raise ValueError(f"chunk_size must be positive, not {chunk_size}")
    if causal and Q.shape[-2] > K.shape[-2]:
        raise ValueError(f"causal attention of {Q.shape[-2]} queries to {K.shape[-2]} keys")


def _wide(x):
    return x if x.dtype == torch.float64 else x.float()


def _normalised(Q, K, V, chunk_size, causal=False):
    """Keeps the average so far and the log of its weight."""
    _check(Q, K, chunk_size, causal)
    q, k, v = (_wide(x) for x in (Q, K, V))
    mean: Any = None
    log_weight: Any = None
    offset = k.shape[-2] - q.shape[-2]
    for i, (ks, vs) in enumerate(zip(k.split(chunk_size, -2), v.split(chunk_size, -2), strict=True)):
        s = q @ ks.mT * q.shape[-1] ** -0.5
        if causal:
            key = i * chunk_size + torch.arange(s.shape[-1])
            s = s + torch.where(key > offset + torch.arange(s.shape[-2])[:, None], -1e30, 0.0)
        here = torch.logsumexp(s, -1, keepdim=True)
        average = torch.exp(s - here) @ vs
        if mean is None:
            mean, log_weight = average, here
        else:
            both = torch.logaddexp(log_weight, here)
            mean = mean * torch.exp(log_weight - both) + average * torch.exp(here - both)
            log_weight = both
    return mean.to(Q.dtype)


def _two_passes(Q, K, V, chunk_size, causal=False):
    """First the maximum and the sum, then, with the scores computed anew, the output."""
    _check(Q, K, chunk_size, causal)
    q, k, v = (_wide(x) for x in (Q, K, V))
    length, first = k.shape[-2], k.shape[-2] - q.shape[-2]

    def scores(start):
        s = torch.einsum("...qd,...kd->...qk", q, k[..., start : start + chunk_size, :]) / math.sqrt(q.shape[-1])
        if causal:
            s = s.masked_fill(torch.ones(q.shape[-2], length).triu(first + 1)[:, start : start + chunk_size].bool(),
                              -math.inf)  # fmt: skip
        return s

    top = torch.full((*q.shape[:-1], 1), -math.inf, dtype=q.dtype)
    for start in range(0, length, chunk_size):
        top = torch.maximum(top, scores(start).amax(-1, keepdim=True))
    total: Any = 0.0
    attended: Any = 0.0
    for start in range(0, length, chunk_size):
        e = torch.exp(scores(start) - top)
        total = total + e.sum(-1, keepdim=True)
        attended = attended + e @ v[..., start : start + chunk_size, :]
    return (attended / total).to(Q.dtype)


def _skips(Q, K, V, chunk_size, causal=False):
    """Query by query, in Python's own order, and only as far as each of them sees."""
    _check(Q, K, chunk_size, causal)
    rows = []
    for i in range(Q.shape[-2]):
        q = _wide(Q[..., i : i + 1, :]) / math.sqrt(Q.shape[-1])
        end = K.shape[-2] - Q.shape[-2] + i + 1 if causal else K.shape[-2]
        m: Any = None
        total: Any = None
        o: Any = None
        for start in range(0, end, chunk_size):
            stop = min(start + chunk_size, end)
            s = q @ _wide(K[..., start:stop, :]).mT
            new = s.amax(-1, keepdim=True) if m is None else torch.maximum(m, s.amax(-1, keepdim=True))
            e = torch.exp(s - new)
            old = 0 if m is None else torch.exp(m - new)
            here = e.sum(-1, keepdim=True)
            total = here if total is None else total * old + here
            part = e @ _wide(V[..., start:stop, :])
            o = part if o is None else o * old + part
            m = new
        rows.append(o / total)
    return torch.cat(rows, -2).to(Q.dtype)


VARIANTS = (
    Variant("chunks-normalised", "online_attention", {NAME: _normalised}),
    Variant("chunks-in-two-passes", "online_attention", {NAME: _two_passes}),
    Variant("chunks-query-by-query", "online_attention", {NAME: _skips}),
)
