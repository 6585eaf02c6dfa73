"""Windows and sinks, written in other ways."""

from __future__ import annotations

import math

import torch

from grader.misconceptions.catalogue import Variant


def _by_loops(seq_len, window, stride=None, global_tokens=0, device=None):
    if window <= 0 or (stride is not None and stride <= 0) or global_tokens < 0:
        raise ValueError(f"cannot be: window {window}, stride {stride}, global_tokens {global_tokens}")
    rows = [
        [
            i - j < window or j < global_tokens or (stride is not None and (i - j) % stride == 0) if j <= i else False
            for j in range(seq_len)
        ]
        for i in range(seq_len)
    ]
    return torch.tensor(rows, dtype=torch.bool, device=device)


def _by_triangles(seq_len, window, stride=None, global_tokens=0, device=None):
    for value, least in ((window, 1), (1 if stride is None else stride, 1), (global_tokens, 0)):
        if value < least:
            raise ValueError(f"{value} is below {least}")
    full = torch.ones(seq_len, seq_len, dtype=torch.bool, device=device)
    mask = full.tril() & full.triu(1 - window)
    for far in range(0, seq_len, stride or seq_len):
        mask |= torch.diag(torch.ones(seq_len - far, dtype=torch.bool, device=device), -far)
    mask[:, :global_tokens] = True
    return mask & full.tril()


def _by_log_sum(Q, K, V, mask, sinks):
    """Attention without the sink, times the share that the sink leaves."""
    scores = Q @ K.mT / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min / 4)
    total = torch.logsumexp(scores, -1, keepdim=True)
    left = torch.sigmoid(total - sinks[:, None, None])
    attended = torch.exp(scores - total) @ V * left
    return attended if mask is None else attended * mask.any(-1, keepdim=True)


def _zero_value(Q, K, V, mask, sinks):
    """The sink is a key with a value of 0."""
    scores = (Q * Q.shape[-1] ** -0.5) @ K.transpose(-1, -2)
    if mask is not None:
        scores = torch.where(mask, scores, -math.inf)
    joined = torch.cat([sinks.view(-1, 1, 1).expand(*scores.shape[:-1], 1), scores], -1)
    return torch.softmax(joined, -1) @ torch.cat([torch.zeros_like(V[..., :1, :]), V], -2)


def _mask(id, function):
    return Variant(id, "windowed_attention", {"architecture.masks.window_mask": function})


def _sink(id, function):
    return Variant(id, "windowed_attention", {"architecture.attention_variants.sink_attention": function})


VARIANTS = (
    _mask("mask-by-loops", _by_loops),
    _mask("mask-by-triangles", _by_triangles),
    _sink("sink-by-log-sum", _by_log_sum),
    _sink("sink-as-value-of-zero", _zero_value),
)
