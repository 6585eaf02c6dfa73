import torch
from torch import nn


class RoPE(nn.Module):
    def __init__(self, theta, d_k, max_seq_len, device=None):
        super().__init__()
        if d_k % 2:
            raise ValueError(f"d_k has to be even, not {d_k}")
        pos = torch.arange(max_seq_len, dtype=torch.float64, device=device)[:, None]
        k = torch.arange(d_k // 2, dtype=torch.float64, device=device)[None, :]
        angle = pos / theta ** (2 * k / d_k)
        self.register_buffer("c", torch.cos(angle).float(), persistent=False)
        self.register_buffer("s", torch.sin(angle).float(), persistent=False)

    def forward(self, x, token_positions):
        c = self.c[token_positions]
        s = self.s[token_positions]
        a = x[..., 0::2]
        b = x[..., 1::2]
        y = torch.empty_like(x)
        y[..., 0::2] = a * c + b * s
        y[..., 1::2] = b * c - a * s
        return y


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    return RoPE(theta, d_k, max_seq_len, in_query_or_key.device)(in_query_or_key, token_positions)


def get_rope_module(d_k, theta, max_seq_len):
    return RoPE(theta, d_k, max_seq_len)
