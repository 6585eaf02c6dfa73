"""Causal multi-head self-attention, written in other ways."""

from __future__ import annotations

import math

import torch

from grader.misconceptions.catalogue import Variant


def _positions(module, x, token_positions):
    return torch.arange(x.shape[-2]) if token_positions is None else token_positions


def _views_and_transposes(self, x, token_positions=None):
    *batch, seq, d_model = x.shape
    q, k, v = (
        proj(x).reshape(*batch, seq, self.num_heads, -1).transpose(-3, -2)
        for proj in (self.q_proj, self.k_proj, self.v_proj)
    )
    if self.rope is not None:
        positions = _positions(self, x, token_positions)
        if positions.ndim > 1:
            positions = positions.unsqueeze(-2)
        q, k = self.rope(q, positions), self.rope(k, positions)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    future = torch.triu(torch.ones(seq, seq), diagonal=1).bool()
    weights = torch.softmax(scores.masked_fill(future, -math.inf), dim=-1)
    return self.output_proj((weights @ v).transpose(-3, -2).reshape(*batch, seq, d_model))


def _head_by_head(self, x, token_positions=None):
    width = x.shape[-1] // self.num_heads
    seq = x.shape[-2]
    allowed = torch.arange(seq)[:, None] >= torch.arange(seq)
    result = 0
    for i in range(self.num_heads):
        rows = slice(i * width, (i + 1) * width)
        q, k, v = (x @ proj.weight[rows].T for proj in (self.q_proj, self.k_proj, self.v_proj))
        if self.rope is not None:
            positions = _positions(self, x, token_positions)
            q, k = self.rope(q, positions), self.rope(k, positions)
        scores = torch.where(allowed, q @ k.mT * width**-0.5, -1e9)
        result = result + torch.softmax(scores, -1) @ v @ self.output_proj.weight[:, rows].T
    return result


def _fused_projection(self, x, token_positions=None):
    fused = torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])
    q, k, v = (x @ fused.T).unflatten(-1, (3, self.num_heads, -1)).movedim(-3, 0)  # each [..., seq, heads, d_k]
    if self.rope is not None:
        positions = _positions(self, x, token_positions).unsqueeze(-1)
        # The rotation works on the last dimension alone, so heads may stand where the sequence usually does.
        positions = positions.expand(*positions.shape[:-1], self.num_heads)
        q, k = self.rope(q, positions), self.rope(k, positions)
    scores = torch.einsum("...qhd,...khd->...hqk", q, k) / math.sqrt(q.shape[-1])
    scores = scores + torch.full((x.shape[-2], x.shape[-2]), -math.inf, dtype=x.dtype).triu(1)
    attended = torch.einsum("...hqk,...khd->...qhd", torch.softmax(scores, -1), v)
    return self.output_proj(attended.flatten(-2))


def _token_by_token(self, x, token_positions=None):
    """As at generation: each query against the keys and values so far."""
    split = [
        proj(x).unflatten(-1, (self.num_heads, -1)).movedim(-2, -3) for proj in (self.q_proj, self.k_proj, self.v_proj)
    ]
    q, k, v = split
    if self.rope is not None:
        positions = _positions(self, x, token_positions).unsqueeze(-2)
        q, k = self.rope(q, positions), self.rope(k, positions)
    rows = []
    for t in range(x.shape[-2]):
        scores = q[..., t : t + 1, :] @ k[..., : t + 1, :].mT / math.sqrt(q.shape[-1])
        rows.append(torch.softmax(scores, -1) @ v[..., : t + 1, :])
    return self.output_proj(torch.cat(rows, -2).movedim(-3, -2).flatten(-2))


def _sequences_with_positions_only(self, x, token_positions=None):
    """Takes what the assignment promises: a batch of sequences, and positions where there is RoPE."""
    assert x.ndim == 3
    if self.rope is not None and token_positions is None:
        raise TypeError("positions are needed")
    return _views_and_transposes(self, x, token_positions)


def _mha(name, forward):
    replaced = {"attention.CausalMultiHeadSelfAttention.forward": forward}
    return Variant(f"mha-{name}", "multihead_self_attention", replaced)


VARIANTS = (
    _mha("views-and-transposes", _views_and_transposes),
    _mha("head-by-head", _head_by_head),
    _mha("fused-projection", _fused_projection),
    _mha("token-by-token", _token_by_token),
    _mha("sequences-with-positions-only", _sequences_with_positions_only),
)
