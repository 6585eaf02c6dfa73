import math

import torch
from torch import nn


class CausalMultiHeadSelfAttention(nn.Module):
    def __init__(self, d_model, num_heads, wq, wk, wv, wo, theta=None, max_seq_len=None):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {d_model} features")
        self.d_model, self.h, self.d_k = d_model, num_heads, d_model // num_heads
        self.wq, self.wk, self.wv, self.wo = wq, wk, wv, wo
        self.theta, self.max_seq_len = theta, max_seq_len

    def rotate(self, x, positions):
        k = torch.arange(0, self.d_k, 2, device=x.device, dtype=torch.float64)
        angle = positions.unsqueeze(-2).unsqueeze(-1) * self.theta ** (-k / self.d_k)
        c, s = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * c - b * s, a * s + b * c), dim=-1).flatten(-2)

    def forward(self, x, positions=None):
        seq = x.shape[-2]
        q, k, v = ((x @ w.T).unflatten(-1, (self.h, self.d_k)).transpose(-2, -3) for w in (self.wq, self.wk, self.wv))
        if self.theta is not None:
            if positions is None:
                positions = torch.arange(seq, device=x.device)
            q, k = self.rotate(q, positions), self.rotate(k, positions)
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.d_model)
        future = torch.triu(torch.ones(seq, seq, dtype=torch.bool, device=x.device), diagonal=1)
        scores = scores.masked_fill(future, -torch.inf)
        p = (scores - scores.amax(-1, keepdim=True)).exp()
        p = p / p.sum(-1, keepdim=True)
        heads = (p @ v).transpose(-2, -3).flatten(-2)
        return heads @ self.wo


def run_multihead_self_attention(
    d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features
):
    mha = CausalMultiHeadSelfAttention(d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)
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
        d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, theta, max_seq_len
    )
    return mha(in_features, token_positions)
