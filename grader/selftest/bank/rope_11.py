import torch
from torch import nn


class RotaryPositionalEmbedding(nn.Module):
    _tables: dict = {}

    def __init__(self, theta, d_k, max_seq_len, device=None):
        super().__init__()
        if d_k % 2:
            raise ValueError(f"d_k has to be even, not {d_k}")
        table = self._tables.get(d_k)
        if table is None or table.shape[0] < max_seq_len:
            freq = theta ** (-torch.arange(0, d_k, 2, dtype=torch.float64) / d_k)
            angles = torch.outer(torch.arange(max_seq_len, dtype=torch.float64), freq)
            table = torch.stack((angles.cos(), angles.sin()), dim=-1).float()
            self._tables[d_k] = table
        self.table = table[:max_seq_len].to(device)

    def forward(self, x, token_positions):
        cos, sin = self.table.to(x.device)[token_positions].unbind(-1)
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).to(x.dtype)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    rope = RotaryPositionalEmbedding(theta, d_k, max_seq_len, in_query_or_key.device)
    return rope(in_query_or_key, token_positions)


def get_rope_module(d_k, theta, max_seq_len):
    return RotaryPositionalEmbedding(theta, d_k, max_seq_len)
