"""Attention with normalised queries and keys, written in other ways."""

from __future__ import annotations

import torch
from einops import rearrange

from grader.misconceptions.catalogue import Variant
from grader.reference.attention import CausalMultiHeadSelfAttention
from grader.reference.layers import RMSNorm

NAME = "architecture.attention_variants.QKNormAttention.forward"


def _norm(x, weight, eps):
    return x * weight / torch.sqrt((x**2).mean(-1, keepdim=True) + eps)


def _loop(self, x, token_positions=None):
    """Head after head, with a mask that is added."""
    *_, seq, d_model = x.shape
    d_k = d_model // self.num_heads
    positions = torch.arange(seq) if token_positions is None else token_positions
    ahead = torch.zeros(seq, seq, dtype=x.dtype).masked_fill(torch.ones(seq, seq).triu(1).bool(), float("-inf"))
    outputs = []
    for head in range(self.num_heads):
        rows = slice(head * d_k, (head + 1) * d_k)
        q = _norm(x @ self.q_proj.weight[rows].T, self.q_norm.weight, self.q_norm.eps)
        k = _norm(x @ self.k_proj.weight[rows].T, self.k_norm.weight, self.k_norm.eps)
        if self.rope is not None:
            q, k = self.rope(q, positions), self.rope(k, positions)
        weights = torch.softmax(q @ k.mT * d_k**-0.5 + ahead, dim=-1)
        outputs.append(weights @ (x @ self.v_proj.weight[rows].T))
    return torch.cat(outputs, -1) @ self.output_proj.weight.T


def _before_heads_are_swapped(self, x, token_positions=None):
    """The norm comes while the features of a head stand last of [... seq heads d_k]."""
    split = "... seq (heads d) -> ... seq heads d"
    q, k, v = (rearrange(p(x), split, heads=self.num_heads) for p in (self.q_proj, self.k_proj, self.v_proj))
    q, k = self.q_norm(q), self.k_norm(k)
    if self.rope is not None:
        positions = torch.arange(x.shape[-2]) if token_positions is None else token_positions
        q, k = (self.rope(y.transpose(-2, -3), positions[..., None, :]).transpose(-2, -3) for y in (q, k))
    scores = torch.einsum("...qhd,...khd->...hqk", q, k) / q.shape[-1] ** 0.5
    hidden = torch.ones(scores.shape[-2:]).triu(1).bool()
    weights = torch.softmax(scores.masked_fill(hidden, float("-inf")), -1)
    return self.output_proj(torch.einsum("...hqk,...khd->...qhd", weights, v).flatten(-2))


class _Subclass(CausalMultiHeadSelfAttention):
    """The base model's attention with norms at the exit of two projections."""

    def __init__(self, d_model, num_heads, max_seq_len, theta, eps):
        super().__init__(d_model, num_heads, max_seq_len, theta)
        self.q_norm, self.k_norm = (RMSNorm(d_model // num_heads, eps) for _ in range(2))
        for projection, norm in ((self.q_proj, self.q_norm), (self.k_proj, self.k_norm)):
            projection.register_forward_hook(
                lambda module, args, y, norm=norm: norm(y.unflatten(-1, (num_heads, -1))).flatten(-2)
            )


def _by_hooks(d_model, num_heads, max_seq_len, theta, eps, in_features, token_positions=None, **weights):
    if d_model % num_heads:
        raise ValueError(f"num_heads = {num_heads} does not divide d_model = {d_model}")
    attention = _Subclass(d_model, num_heads, max_seq_len, theta, eps).to(in_features.dtype)
    names = {name: name.replace("_weight", ".weight").replace("o_proj", "output_proj") for name in weights}
    attention.load_state_dict({names[name]: value for name, value in weights.items()})
    return attention(in_features, token_positions)


VARIANTS = (
    Variant("one-head-at-a-time", "qk_norm", {NAME: _loop}),
    Variant("before-heads-are-swapped", "qk_norm", {NAME: _before_heads_are_swapped}),
    Variant("by-hooks", "qk_norm", {"adapters.run_qk_norm_attention": _by_hooks}),
)
