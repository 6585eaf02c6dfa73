"""Scaled dot-product attention, written in other ways."""

from __future__ import annotations

import math

import torch
from einops import einsum

from grader.misconceptions.catalogue import Variant


def _textbook(Q, K, V, mask=None):
    scores = einsum(Q, K, "... q d, ... k d -> ... q k") / math.sqrt(K.shape[-1])
    if mask is not None:
        scores = torch.where(mask, scores, float("-inf"))
    weights = torch.exp(scores - torch.max(scores, dim=-1, keepdim=True).values)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return einsum(weights, V, "... q k, ... k d -> ... q d")


def _large_negative_number(Q, K, V, mask=None):
    scores = torch.matmul(Q, K.mT) * Q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(mask == 0, max(-1e9, torch.finfo(scores.dtype).min))
    return torch.softmax(scores, dim=-1) @ V


def _added_mask(Q, K, V, mask=None):
    scores = (Q @ K.transpose(-1, -2)) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores + torch.zeros(mask.shape, dtype=scores.dtype).masked_fill_(mask.logical_not(), -math.inf)
    return torch.exp(scores - torch.logsumexp(scores, -1, keepdim=True)) @ V


def _scaled_on_both_sides(Q, K, V, mask=None):
    quarter = Q.shape[-1] ** -0.25
    scores = (Q * quarter) @ (K * quarter).transpose(-1, -2)
    exponentials = torch.exp(scores - scores.amax(-1, keepdim=True))
    if mask is not None:
        scores.masked_fill_(~mask, -math.inf)
        exponentials = torch.exp(scores - scores.amax(-1, keepdim=True)) * mask
    return (exponentials @ V) / exponentials.sum(-1, keepdim=True)


def _query_by_query(Q, K, V, mask=None):
    rows = []
    for i in range(Q.shape[-2]):
        scores = (Q[..., i : i + 1, :] * K).sum(-1) / math.sqrt(Q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask[..., i if mask.shape[-2] > 1 else 0, :], -math.inf)
        rows.append((torch.softmax(scores, -1).unsqueeze(-1) * V).sum(-2))
    return torch.stack(rows, -2)


def _in_float64(Q, K, V, mask=None):
    return _textbook(Q.double(), K.double(), V.double(), mask).to(Q.dtype)


def _batched_only(Q, K, V, mask=None):
    """Takes what the assignment promises: a batch, and masks of the shape of the scores or [queries, keys]."""
    assert Q.ndim > 2
    assert mask is None or mask.shape[-2:] == (Q.shape[-2], K.shape[-2])
    return _textbook(Q, K, V, mask)


def _attention(name, function):
    replaced = {"attention.scaled_dot_product_attention": function}
    return Variant(f"attention-{name}", "scaled_dot_product_attention", replaced)


VARIANTS = (
    _attention("textbook", _textbook),
    _attention("large-negative-number", _large_negative_number),
    _attention("added-mask", _added_mask),
    _attention("scaled-on-both-sides", _scaled_on_both_sides),
    _attention("query-by-query", _query_by_query),
    _attention("in-float64", _in_float64),
    _attention("batched-only", _batched_only),
)
