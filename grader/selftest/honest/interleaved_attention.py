"""Layers of two kinds, written in other ways."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from grader.misconceptions.catalogue import Variant
from grader.reference.layers import Linear, RMSNorm, SwiGLU
from grader.reference.rope import RotaryPositionalEmbedding

HERE = "architecture.interleaved"


def _by_slices(num_layers, every):
    if every <= 0:
        raise ValueError(f"every={every}")
    kinds = ["window"] * num_layers
    kinds[every - 1 :: every] = ["full"] * len(kinds[every - 1 :: every])
    return kinds


def _by_bias(self, x, token_positions=None):
    """Heads by a view, and a mask of minus infinities."""
    *batch, seq, d_model = x.shape
    d_k = d_model // self.num_heads
    q, k, v = (
        p(x).view(*batch, seq, self.num_heads, d_k).transpose(-2, -3) for p in (self.q_proj, self.k_proj, self.v_proj)
    )
    if self.rope is not None:
        places = torch.arange(seq) if token_positions is None else token_positions.unsqueeze(-2)
        q, k = self.rope(q, places), self.rope(k, places)
    bias = torch.full((seq, seq), -math.inf, dtype=x.dtype).triu(1)
    if self.window is not None:
        bias = bias + torch.full((seq, seq), -math.inf, dtype=x.dtype).tril(-self.window)
    weights = torch.softmax(q @ k.mT / math.sqrt(d_k) + bias, -1)
    return self.output_proj((weights @ v).transpose(-2, -3).reshape(*batch, seq, d_model))


class _Attention(nn.Module):
    """One query after the other, of the keys that it sees."""

    rope: Any

    def __init__(self, d_model, num_heads, max_seq_len, theta, window, device, dtype):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{num_heads} heads, {d_model} features")
        if window is not None and window <= 0:
            raise ValueError(f"a window of {window}")
        self.heads, self.window = num_heads, window
        for name in ("q_proj", "k_proj", "v_proj", "output_proj"):
            setattr(self, name, Linear(d_model, d_model, device, dtype))
        d_k = d_model // num_heads
        self.rope = RotaryPositionalEmbedding(theta, d_k, max_seq_len) if theta is not None else None

    def forward(self, x):
        q, k, v = (getattr(self, name)(x).unflatten(-1, (self.heads, -1)) for name in ("q_proj", "k_proj", "v_proj"))
        if self.rope is not None:
            places = torch.arange(x.shape[-2])
            q, k = (self.rope(y.transpose(-2, -3), places).transpose(-2, -3) for y in (q, k))
        rows = []
        for i in range(x.shape[-2]):
            first = 0 if self.window is None else max(0, i - self.window + 1)
            keys, values = k[..., first : i + 1, :, :], v[..., first : i + 1, :, :]
            scores = (keys * q[..., i : i + 1, :, :]).sum(-1) / math.sqrt(q.shape[-1])
            rows.append((torch.softmax(scores, -2).unsqueeze(-1) * values).sum(-3).flatten(-2))
        return self.output_proj(torch.stack(rows, -2))


class _Block(nn.Module):
    def __init__(self, d_model, d_ff, attention, device, dtype):
        super().__init__()
        self.ln1, self.ln2 = RMSNorm(d_model, device=device, dtype=dtype), RMSNorm(d_model, device=device, dtype=dtype)
        self.attn, self.ffn = attention, SwiGLU(d_model, d_ff, device, dtype)

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.ffn(self.ln2(x))


class _OwnStack(nn.Module):
    """Blocks of its own, and none of the base model's."""

    def __init__(
        self, num_layers, d_model, num_heads, d_ff, max_seq_len, theta, window, every, device=None, dtype=None
    ):
        super().__init__()
        full = [kind == "full" for kind in _by_slices(num_layers, every)]
        self.layers = nn.ModuleList(
            _Block(
                d_model,
                d_ff,
                _Attention(d_model, num_heads, max_seq_len, None if f else theta, None if f else window, device, dtype),
                device,
                dtype,
            )
            for f in full
        )

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


VARIANTS = (
    Variant("kinds-by-slices", "interleaved_attention", {f"{HERE}.layer_kinds": _by_slices}),
    Variant("window-as-bias", "interleaved_attention", {f"{HERE}.WindowedSelfAttention.forward": _by_bias}),
    Variant("own-blocks", "interleaved_attention", {f"{HERE}.InterleavedStack": _OwnStack}),
)
