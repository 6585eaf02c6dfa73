import torch
from torch import nn


class RotaryPositionalEmbedding(nn.Module):
    def __init__(self, theta, d_k, max_seq_len, device=None):
        super().__init__()
        if d_k % 2:
            raise ValueError(f"d_k has to be even, not {d_k}")
        k = torch.arange(d_k // 2, device=device, dtype=torch.float32)
        i = torch.arange(max_seq_len, device=device, dtype=torch.float32)
        angle = i[:, None] * theta ** (-2 * k / d_k)[None, :]
        matrix = torch.stack(
            [torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], -2
        )
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, x, token_positions):
        rotation = self.matrix[token_positions]
        if token_positions.dim() == 2:
            rotation = rotation.unsqueeze(1)
        pairs = x.float().unflatten(-1, (-1, 2)).unsqueeze(-1)
        return (rotation @ pairs).squeeze(-1).flatten(-2).to(x.dtype)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    rope = RotaryPositionalEmbedding(theta, d_k, max_seq_len, in_query_or_key.device)
    return rope(in_query_or_key, token_positions)


def get_rope_module(d_k, theta, max_seq_len):
    return RotaryPositionalEmbedding(theta, d_k, max_seq_len)
