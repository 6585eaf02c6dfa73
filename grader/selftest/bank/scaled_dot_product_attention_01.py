import math

import torch


def attention(q, k, v, mask=None):
    n = k.shape[-2]
    scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(n)
    if mask is not None:
        scores = torch.where(mask, scores, float("-inf"))
    scores = scores - scores.amax(-1, keepdim=True)
    w = scores.exp()
    w = w / w.sum(-1, keepdim=True)
    return torch.matmul(w, v)


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return attention(Q, K, V, mask)
