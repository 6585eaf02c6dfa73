import torch
from torch import nn


class RotaryPositionalEmbedding(nn.Module):
    def __init__(self, theta, d_k, max_seq_len, device=None):
        super().__init__()
        if d_k % 2:
            raise ValueError(f"d_k has to be even, not {d_k}")
        self.freqs = [theta ** (-2 * k / d_k) for k in range(d_k // 2)]
        self.max_seq_len = max_seq_len

    def forward(self, x, token_positions):
        if token_positions.max() >= self.max_seq_len:
            raise IndexError("position out of range")
        freqs = torch.tensor(self.freqs, device=x.device)
        angles = token_positions.unsqueeze(-1).float() * freqs
        cos, sin = angles.cos(), angles.sin()
        x_even = x[..., 0::2]
        x_odd = x[..., 1::2]
        first = x_even * cos - x_odd * sin
        second = x_even * sin + x_odd * cos
        return torch.cat([first, second], dim=-1).to(x.dtype)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    rope = RotaryPositionalEmbedding(theta, d_k, max_seq_len, in_query_or_key.device)
    return rope(in_query_or_key, token_positions)


def get_rope_module(d_k, theta, max_seq_len):
    return RotaryPositionalEmbedding(theta, d_k, max_seq_len)
