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


def attention(q, k, v, mask):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(~mask, -math.inf)
    scores = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    return scores / scores.sum(dim=-1, keepdim=True) @ v


class RotaryPositionalEmbedding(nn.Module):
    def __init__(self, theta, d_k, max_seq_len, device=None):
        super().__init__()
        if d_k % 2:
            raise ValueError(f"d_k has to be even, not {d_k}")
        k = torch.arange(d_k // 2, dtype=torch.float32, device=device)
        frequency = torch.exp(-math.log(theta) * k / d_k)
        angles = torch.arange(max_seq_len, dtype=torch.float32, device=device)[:, None] * frequency
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x, token_positions):
        cos, sin = self.cos[token_positions], self.sin[token_positions]
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).to(x.dtype)


class CausalMultiHeadSelfAttention(nn.Module):
    def __init__(self, d_model, num_heads, max_seq_len=None, theta=None, device=None, dtype=None):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {d_model} features")
        self.num_heads = num_heads
        self.q_proj = Linear(d_model, d_model, device, dtype)
        self.k_proj = Linear(d_model, d_model, device, dtype)
        self.v_proj = Linear(d_model, d_model, device, dtype)
        self.output_proj = Linear(d_model, d_model, device, dtype)
        self.rope = None
        if theta is not None:
            self.rope = RotaryPositionalEmbedding(theta, d_model // num_heads, max_seq_len, device)

    def forward(self, x, token_positions=None):
        seq = x.shape[-2]
        q, k, v = (
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(-2, -3)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        if self.rope is not None:
            if token_positions is None:
                token_positions = torch.arange(seq, device=x.device)
            token_positions = token_positions.unsqueeze(-2)
            q, k = self.rope(q, token_positions), self.rope(k, token_positions)
        mask = torch.ones(seq, seq, dtype=torch.bool, device=x.device).tril()
        return self.output_proj(attention(q, k, v, mask).transpose(-2, -3).flatten(-2))


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    rope = RotaryPositionalEmbedding(theta, d_k, max_seq_len, in_query_or_key.device)
    return rope(in_query_or_key, token_positions)


def get_rope_module(d_k, theta, max_seq_len):
    return RotaryPositionalEmbedding(theta, d_k, max_seq_len)


def load_weights(attention, q, k, v, o):
    weights = {"q_proj.weight": q, "k_proj.weight": k, "v_proj.weight": v, "output_proj.weight": o}
    attention.load_state_dict(weights)


def run_multihead_self_attention(
    d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features
):
    mha = CausalMultiHeadSelfAttention(d_model, num_heads, device=q_proj_weight.device, dtype=q_proj_weight.dtype)
    load_weights(mha, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)
    return mha(in_features)


def run_multihead_self_attention_with_rope(
    d_model,
    num_heads,
    max_seq_len,
    theta,
    q_proj_weight,
    k_proj_weight,
    v_proj_weight,
    o_proj_weight,
    in_features,
    token_positions=None,
):
    mha = CausalMultiHeadSelfAttention(
        d_model, num_heads, max_seq_len, theta, q_proj_weight.device, q_proj_weight.dtype
    )
    load_weights(mha, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)
    return mha(in_features, token_positions)
