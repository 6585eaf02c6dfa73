import torch
from torch import nn


class RotaryPositionalEmbedding(nn.Module):
    def __init__(self, theta, d_k, max_seq_len, device=None):
        super().__init__()
        if d_k % 2:
            raise ValueError(f"d_k has to be even, not {d_k}")
        self.theta = theta
        self.d_k = d_k
        self.max_seq_len = max_seq_len

    def forward(self, x, token_positions):
        if int(token_positions.max()) >= self.max_seq_len:
            raise IndexError(f"positions must be below {self.max_seq_len}")
        inv = self.theta ** (-torch.arange(0, self.d_k, 2, device=x.device, dtype=x.dtype) / self.d_k)
        angle = token_positions[..., None].to(x.dtype) * inv
        c, s = angle.cos(), angle.sin()
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * c - b * s, a * s + b * c), -1).flatten(-2)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    rope = RotaryPositionalEmbedding(theta, d_k, max_seq_len, in_query_or_key.device)
    return rope(in_query_or_key, token_positions)


def get_rope_module(d_k, theta, max_seq_len):
    return RotaryPositionalEmbedding(theta, d_k, max_seq_len)
