"""RoPE on longer sequences, written in other ways."""

from __future__ import annotations

import math

import torch
from torch import nn

from grader.misconceptions.catalogue import Variant

HERE = "architecture.rope_scaling"


def _check(d_k, s):
    if d_k % 2 or s.factor < 1 or s.kind not in ("linear", "ntk", "yarn", "llama3") or (s.kind == "ntk" and d_k < 4):
        raise ValueError(f"cannot scale by {s.kind} with factor {s.factor} and d_k {d_k}")
    if s.kind == "yarn" and s.beta_fast <= s.beta_slow:
        raise ValueError(f"beta_fast {s.beta_fast} <= beta_slow {s.beta_slow}")
    if s.kind == "llama3" and s.high_freq_factor <= s.low_freq_factor:
        raise ValueError(f"high_freq_factor {s.high_freq_factor} <= low_freq_factor {s.low_freq_factor}")


def _in_float32(theta, d_k, s):
    """As in most libraries: float32, wavelengths, and `torch.where`."""
    _check(d_k, s)
    if s.kind == "ntk":
        theta = theta * s.factor ** (d_k / (d_k - 2))
    inv_freq = 1.0 / (theta ** (torch.arange(0, d_k, 2, dtype=torch.int64).float() / d_k))
    if s.kind == "ntk":
        return inv_freq
    if s.kind == "linear":
        return inv_freq / s.factor
    if s.kind == "llama3":
        old = s.original_max_seq_len
        wavelen = 2 * math.pi / inv_freq
        low, high = old / s.low_freq_factor, old / s.high_freq_factor
        result = torch.where(wavelen > low, inv_freq / s.factor, inv_freq)
        smooth = (old / wavelen - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor)
        smoothed = (1 - smooth) * inv_freq / s.factor + smooth * inv_freq
        return torch.where(~(wavelen < high) * ~(wavelen > low), smoothed, result)

    def dim_of(rotations):
        return (d_k * math.log(s.original_max_seq_len / (rotations * 2 * math.pi))) / (2 * math.log(theta))

    low, high = max(math.floor(dim_of(s.beta_fast)), 0), min(math.ceil(dim_of(s.beta_slow)), d_k - 1)
    if low == high:
        high += 0.001
    extrapolated = 1 - torch.clamp((torch.arange(d_k // 2, dtype=torch.float32) - low) / (high - low), 0, 1)
    return inv_freq / s.factor * (1 - extrapolated) + inv_freq * extrapolated


def _pair_by_pair(theta, d_k, s):
    """Llama 3.1's published loop, and the same for the others."""
    _check(d_k, s)
    found = []
    for k in range(d_k // 2):
        f = theta ** (-2 * k / d_k)
        if s.kind == "linear":
            f = f / s.factor
        elif s.kind == "ntk":
            f = f * s.factor ** (-2 * k / (d_k - 2))
        elif s.kind == "llama3":
            turns = s.original_max_seq_len * f / (2 * math.pi)
            if turns < s.low_freq_factor:
                f = f / s.factor
            elif turns <= s.high_freq_factor:
                t = (turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor)
                f = f * (t + (1 - t) / s.factor)
        else:
            low, high = (
                d_k / 2 * math.log(s.original_max_seq_len / (2 * math.pi * beta), theta)
                for beta in (s.beta_fast, s.beta_slow)
            )
            low, high = max(math.floor(low), 0), min(math.ceil(high), d_k - 1)
            r = min(max((k - low) / (high - low if high > low else 1e-3), 0), 1)
            f = f * (1 - r + r / s.factor)
        found.append(f)
    return torch.tensor(found, dtype=torch.float32)


class _OwnRotation(nn.Module):
    """cos and sin are multiplied, and looked up in a buffer."""

    cos: torch.Tensor
    sin: torch.Tensor

    def __init__(self, theta, d_k, max_seq_len, scaling, device=None):
        super().__init__()
        angles = torch.outer(torch.arange(max_seq_len, dtype=torch.float64), _in_float32(theta, d_k, scaling).double())
        scale = 0.1 * math.log(scaling.factor) + 1.0 if scaling.kind == "yarn" else 1.0
        self.register_buffer("cos", angles.cos() * scale, persistent=False)
        self.register_buffer("sin", angles.sin() * scale, persistent=False)

    def forward(self, x, token_positions):
        cos, sin = self.cos[token_positions], self.sin[token_positions]
        even, odd = x[..., ::2].double(), x[..., 1::2].double()
        return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-2).to(x.dtype)


VARIANTS = (
    Variant("frequencies-in-float32", "rope_scaling", {f"{HERE}.scaled_frequencies": _in_float32}),
    Variant("frequencies-pair-by-pair", "rope_scaling", {f"{HERE}.scaled_frequencies": _pair_by_pair}),
    Variant("scaled-cos-and-sin", "rope_scaling", {f"{HERE}.ScaledRotaryEmbedding": _OwnRotation}),
)
