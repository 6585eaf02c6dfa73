import math

import torch
from torch import nn


class Linear(nn.Module):
    def __init__(self, d_in, d_out, device=None, dtype=None):
        super().__init__()
        std = math.sqrt(2 / (d_in + d_out))
        self.weight = nn.Parameter(torch.empty(d_out, d_in, device=device, dtype=dtype))
        nn.init.trunc_normal_(self.weight, 0.0, std, -3 * std, 3 * std)

    def forward(self, x):
        return x @ self.weight.T


class Rope(nn.Module):
    def __init__(self, theta, d_k, max_seq_len, device=None):
        super().__init__()
        k = torch.arange(0, d_k, 2, dtype=torch.float64)
        angles = torch.arange(max_seq_len, dtype=torch.float64)[:, None] * theta ** (-k / d_k)
        self.register_buffer("cos", angles.cos().to(device), persistent=False)
        self.register_buffer("sin", angles.sin().to(device), persistent=False)

    def forward(self, x, positions=None, heads=True):
        if positions is None:
            positions = torch.arange(x.shape[-2], device=x.device)
        if heads:
            positions = positions.unsqueeze(-2)
        cos, sin = self.cos[positions].to(x.dtype), self.sin[positions].to(x.dtype)
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


def attention(q, k, v, mask):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(~mask, -math.inf)
    scores = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    return scores / scores.sum(dim=-1, keepdim=True) @ v


class RMSNorm(nn.Module):
    def __init__(self, d_model, eps=1e-5, device=None, dtype=None):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model, device=device, dtype=dtype))

    def forward(self, x):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        rms = torch.sqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide / rms * self.weight).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, d_model, num_heads, max_seq_len, theta, device=None, dtype=None):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {d_model} features")
        self.num_heads = num_heads
        self.q_proj = Linear(d_model, d_model, device, dtype)
        self.k_proj = Linear(d_model, d_model, device, dtype)
        self.v_proj = Linear(d_model, d_model, device, dtype)
        self.output_proj = Linear(d_model, d_model, device, dtype)
        self.rope = Rope(theta, d_model // num_heads, max_seq_len, device)

    def forward(self, x, token_positions=None):
        q, k, v = (
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(-2, -3)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = self.rope(q, token_positions), self.rope(k, token_positions)
        seq = x.shape[-2]
        mask = torch.tril(torch.ones(seq, seq, dtype=torch.bool, device=x.device))
        return self.output_proj(attention(q, k, v, mask).transpose(-2, -3).flatten(-2))


class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff, device=None, dtype=None):
        super().__init__()
        self.w1 = Linear(d_model, d_ff, device, dtype)
        self.w2 = Linear(d_ff, d_model, device, dtype)
        self.w3 = Linear(d_model, d_ff, device, dtype)

    def forward(self, x):
        gate = self.w1(x)
        return self.w2(gate * torch.sigmoid(gate) * self.w3(x))


class Block(nn.Module):
    def __init__(self, d_model, num_heads, d_ff, max_seq_len, theta, device=None, dtype=None):
        super().__init__()
        self.attn = Attention(d_model, num_heads, max_seq_len, theta, device, dtype)
        self.ffn = SwiGLU(d_model, d_ff, device, dtype)
        self.ln1 = RMSNorm(d_model, device=device, dtype=dtype)
        self.ln2 = RMSNorm(d_model, device=device, dtype=dtype)

    def forward(self, x):
        y = x + self.attn(self.ln1(x))
        z = x + self.ffn(self.ln2(y))
        return z


def run_transformer_block(d_model, num_heads, d_ff, max_seq_len, theta, weights, in_features):
    gain = weights["ln1.weight"]
    block = Block(d_model, num_heads, d_ff, max_seq_len, theta, gain.device, gain.dtype)
    block.load_state_dict(weights)
    return block(in_features)
