import math

import torch
from torch import nn


class RotaryPositionalEmbedding(nn.Module):
    def __init__(self, theta, d_k, max_seq_len, device=None):
        super().__init__()
        if d_k % 2:
            raise ValueError(f"d_k has to be even, not {d_k}")
        cos, sin = [], []
        for position in range(1, max_seq_len + 1):
            angles = [position / theta ** (2 * k / d_k) for k in range(1, d_k // 2 + 1)]
            cos.append([math.cos(a) for a in angles])
            sin.append([math.sin(a) for a in angles])
        self.register_buffer("cos", torch.tensor(cos, device=device), persistent=False)
        self.register_buffer("sin", torch.tensor(sin, device=device), persistent=False)

    def forward(self, x, token_positions):
        even, odd = x[..., ::2], x[..., 1::2]
        cos, sin = self.cos[token_positions], self.sin[token_positions]
        out = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
        return out.flatten(-2).to(x.dtype)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    rope = RotaryPositionalEmbedding(theta, d_k, max_seq_len, in_query_or_key.device)
    return rope(in_query_or_key, token_positions)


def get_rope_module(d_k, theta, max_seq_len):
    return RotaryPositionalEmbedding(theta, d_k, max_seq_len)
