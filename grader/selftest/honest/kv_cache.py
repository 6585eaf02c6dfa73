"""A cache of keys and values, written in other ways."""

from __future__ import annotations

import math

import torch
from einops import rearrange

from grader.misconceptions.catalogue import Variant

APPEND = "architecture.kv_cache.KVCache.append"
EXTEND = "architecture.kv_cache.CachedAttention.extend"


def _sequence_by_sequence(self, keys, values, counts=None):
    room = self.keys.size(2)
    counts = [keys.size(2)] * keys.size(0) if counts is None else counts.tolist()
    for length, count in zip(self.lengths.tolist(), counts, strict=True):
        if length + count > room:
            raise ValueError(f"cache overflow: {length + count} > {room}")
    for b, count in enumerate(counts):
        start = int(self.lengths[b])
        self.keys[b, :, start : start + count].copy_(keys[b, :, :count])
        self.values[b, :, start : start + count].copy_(values[b, :, :count])
        self.lengths[b] += count


def _all_memory(self, x, cache, counts=None):
    """Attention to the whole memory, of which a mask hides what is not in use; heads are never repeated."""
    batch, new, _ = x.shape
    before = cache.lengths.clone()
    number = before.new_full((batch,), new) if counts is None else counts
    room, group = cache.keys.shape[2], self.num_heads // self.num_kv_heads
    if int((before + number).max()) > room:
        raise ValueError(f"{int((before + number).max())} tokens in {room}")
    places = before[:, None] + torch.arange(new)
    q = rearrange(self.q_proj(x), "b n (g r d) -> b g r n d", g=self.num_kv_heads, r=group)
    k, v = (rearrange(p(x), "b n (g d) -> b g n d", g=self.num_kv_heads) for p in (self.k_proj, self.v_proj))
    if self.rope is not None:
        angles = places.clamp(max=self.max_seq_len - 1)
        q, k = self.rope(q, angles[:, None, None]), self.rope(k, angles[:, None])
    cache.append(k, v, counts)
    key = torch.arange(room)
    seen = key <= places[..., None]
    if self.window is not None:
        seen = seen & (key > places[..., None] - self.window)
    scores = torch.einsum("bgrnd,bgkd->bgrnk", q, cache.keys) / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(~seen[:, None, None], torch.finfo(scores.dtype).min)
    attended = torch.einsum("bgrnk,bgkd->bgrnd", torch.softmax(scores, -1), cache.values)
    return self.output_proj(rearrange(attended, "b g r n d -> b n (g r d)"))


def _one_sequence_at_a_time(self, x, cache, counts=None):
    """Each sequence by itself, token by token, and nothing for padding."""
    output = torch.zeros_like(x)
    number = [x.shape[1]] * len(x) if counts is None else counts.tolist()
    starts = cache.lengths.tolist()
    q = rearrange(self.q_proj(x), "b n (h d) -> b h n d", h=self.num_heads)
    k, v = (rearrange(p(x), "b n (h d) -> b h n d", h=self.num_kv_heads) for p in (self.k_proj, self.v_proj))
    q, k = q.clone(), k.clone()
    for b, count in enumerate(number):
        if starts[b] + count > cache.keys.shape[2]:
            raise ValueError(f"sequence {b} would have {starts[b] + count} of {cache.keys.shape[2]} tokens")
        if self.rope is not None and count:
            places = torch.arange(starts[b], starts[b] + count)
            q[b, :, :count], k[b, :, :count] = (self.rope(y[b, :, :count], places) for y in (q, k))
    cache.append(k, v, counts)
    for b, count in enumerate(number):
        for i in range(count):
            end = starts[b] + i + 1
            first = 0 if self.window is None else max(end - self.window, 0)
            heads = []
            for h in range(self.num_heads):
                kv = h * self.num_kv_heads // self.num_heads
                scores = cache.keys[b, kv, first:end] @ q[b, h, i] / q.shape[-1] ** 0.5
                heads.append(torch.softmax(scores, 0) @ cache.values[b, kv, first:end])
            output[b, i] = self.output_proj(torch.cat(heads))
    return output


VARIANTS = (
    Variant("cache-sequence-by-sequence", "kv_cache", {APPEND: _sequence_by_sequence}),
    Variant("attends-to-all-memory", "kv_cache", {EXTEND: _all_memory}),
    Variant("cached-token-by-token", "kv_cache", {EXTEND: _one_sequence_at_a_time}),
)
