import torch
from torch import nn


class RotaryPositionalEmbedding(nn.Module):
    def __init__(self, theta, d_k, max_seq_len, device=None):
        super().__init__()
        if d_k % 2:
            raise ValueError(f"d_k has to be even, not {d_k}")
        self.max_seq_len = max_seq_len
        wavelengths = torch.tensor([float(theta ** (2 * k // d_k)) for k in range(d_k // 2)], device=device)
        angles = torch.arange(max_seq_len, device=device).unsqueeze(-1) / wavelengths
        self.register_buffer("cos", torch.cos(angles), persistent=False)
        self.register_buffer("sin", torch.sin(angles), persistent=False)

    def forward(self, x, token_positions):
        token_positions = token_positions % self.max_seq_len
        cos, sin = self.cos[token_positions], self.sin[token_positions]
        pairs = x.unflatten(-1, (-1, 2))
        a, b = pairs[..., 0], pairs[..., 1]
        rotated = torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1)
        return rotated.flatten(-2).to(x.dtype)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    rope = RotaryPositionalEmbedding(theta, d_k, max_seq_len, in_query_or_key.device)
    return rope(in_query_or_key, token_positions)


def get_rope_module(d_k, theta, max_seq_len):
    return RotaryPositionalEmbedding(theta, d_k, max_seq_len)
