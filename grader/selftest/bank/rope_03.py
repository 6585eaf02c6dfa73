import torch
from einops import rearrange, repeat
from torch import nn


class RotaryPositionalEmbedding(nn.Module):
    def __init__(self, theta: float, d_k: int, max_seq_len: int, device=None):
        super().__init__()
        if d_k % 2:
            raise ValueError(f"d_k has to be even, not {d_k}")
        k = torch.arange(0, d_k, 2, device=device)
        freq = theta ** (-2.0 * k / d_k)
        angles = torch.einsum("i,k->ik", torch.arange(max_seq_len, device=device).float(), freq)
        self.register_buffer("cos", repeat(angles.cos(), "i k -> i (k two)", two=2), persistent=False)
        self.register_buffer("sin", repeat(angles.sin(), "i k -> i (k two)", two=2), persistent=False)

    def forward(self, x, token_positions):
        pairs = rearrange(x, "... (k two) -> ... k two", two=2)
        rotated = torch.stack((-pairs[..., 1], pairs[..., 0]), dim=-1)
        rotated = rearrange(rotated, "... k two -> ... (k two)")
        out = x * self.cos[token_positions] + rotated * self.sin[token_positions]
        return out.to(x.dtype)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    rope = RotaryPositionalEmbedding(theta, d_k, max_seq_len, in_query_or_key.device)
    return rope(in_query_or_key, token_positions)


def get_rope_module(d_k, theta, max_seq_len):
    return RotaryPositionalEmbedding(theta, d_k, max_seq_len)
