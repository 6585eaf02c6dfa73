"""Attention with shared keys and values, written in other ways."""

from __future__ import annotations

import torch
from einops import einsum, rearrange

from grader.misconceptions.catalogue import Variant
from grader.reference.attention import CausalMultiHeadSelfAttention

NAME = "architecture.attention_variants.GroupedQueryAttention.forward"


def _positions(x, token_positions):
    return torch.arange(x.shape[-2]) if token_positions is None else token_positions


def _never_repeated(self, x, token_positions=None):
    """Queries get a dimension for groups, and keys and values stay as few as they are."""
    q = rearrange(
        self.q_proj(x), "... s (g r d) -> ... g r s d", g=self.num_kv_heads, r=self.num_heads // self.num_kv_heads
    )
    k, v = (rearrange(p(x), "... s (g d) -> ... g s d", g=self.num_kv_heads) for p in (self.k_proj, self.v_proj))
    if self.rope is not None:
        positions = _positions(x, token_positions)
        q, k = self.rope(q, positions[..., None, None, :]), self.rope(k, positions[..., None, :])
    scores = einsum(q, k, "... g r q d, ... g k d -> ... g r q k") / q.shape[-1] ** 0.5
    ahead = torch.ones(scores.shape[-2:]).triu(1).bool()
    weights = torch.softmax(scores.masked_fill(ahead, float("-inf")), -1)
    attended = einsum(weights, v, "... g r q k, ... g k d -> ... g r q d")
    return self.output_proj(rearrange(attended, "... g r q d -> ... q (g r d)"))


def _loop(self, x, token_positions=None):
    """Query head after query head."""
    d_k, group = x.shape[-1] // self.num_heads, self.num_heads // self.num_kv_heads
    seq, outputs = x.shape[-2], []
    ahead = torch.zeros(seq, seq, dtype=x.dtype).masked_fill(torch.ones(seq, seq).triu(1).bool(), float("-inf"))
    for head in range(self.num_heads):
        own = slice(head * d_k, (head + 1) * d_k)
        shared = slice(head // group * d_k, (head // group + 1) * d_k)
        q, k, v = x @ self.q_proj.weight[own].T, x @ self.k_proj.weight[shared].T, x @ self.v_proj.weight[shared].T
        if self.rope is not None:
            q, k = (self.rope(y, _positions(x, token_positions)) for y in (q, k))
        outputs.append(torch.softmax(q @ k.mT / d_k**0.5 + ahead, -1) @ v)
    return torch.cat(outputs, -1) @ self.output_proj.weight.T


def _as_multi_head(d_model, num_heads, num_kv_heads, max_seq_len, theta, in_features, token_positions=None, **weights):
    """The base model's attention, with the rows of shared heads repeated."""
    if d_model % num_heads or num_heads % num_kv_heads:
        raise ValueError(f"{num_kv_heads} KV heads, {num_heads} heads, d_model {d_model}: each must divide the next")
    attention = CausalMultiHeadSelfAttention(d_model, num_heads, max_seq_len, theta).to(in_features.dtype)
    for name in ("k_proj_weight", "v_proj_weight"):
        heads = weights[name].reshape(num_kv_heads, -1, d_model)
        weights[name] = heads.repeat_interleave(num_heads // num_kv_heads, 0).reshape(d_model, d_model)
    names = {name: name.replace("_weight", ".weight").replace("o_proj", "output_proj") for name in weights}
    attention.load_state_dict({names[name]: value for name, value in weights.items()})
    return attention(in_features, token_positions)


VARIANTS = (
    Variant("keys-never-repeated", "grouped_query_attention", {NAME: _never_repeated}),
    Variant("one-head-at-a-time", "grouped_query_attention", {NAME: _loop}),
    Variant("as-multi-head", "grouped_query_attention", {"adapters.run_grouped_query_attention": _as_multi_head}),
)
