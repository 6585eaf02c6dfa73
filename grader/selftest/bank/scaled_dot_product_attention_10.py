import math

import torch
from einops import rearrange
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


def scaled_dot_product_attention(Q, K, V, mask=None):
    scale = Q.shape[-1] ** 0.5
    scores = (Q * scale) @ rearrange(K, "... k d -> ... d k")
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    weights = weights / weights.sum(-1, keepdim=True)
    return weights @ V


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
        self.rope = None if theta is None else Rope(theta, d_model // num_heads, max_seq_len, device)

    def forward(self, x, token_positions=None):
        pattern = "... s (h d) -> ... h s d"
        q = rearrange(self.q_proj(x), pattern, h=self.num_heads)
        k = rearrange(self.k_proj(x), pattern, h=self.num_heads)
        v = rearrange(self.v_proj(x), pattern, h=self.num_heads)
        if self.rope is not None:
            q, k = self.rope(q, token_positions), self.rope(k, token_positions)
        i = torch.arange(x.shape[-2], device=x.device)
        out = scaled_dot_product_attention(q, k, v, i.unsqueeze(-1) >= i)
        return self.output_proj(rearrange(out, "... h s d -> ... s (h d)"))


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return scaled_dot_product_attention(Q, K, V, mask)


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
