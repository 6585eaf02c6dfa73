import math

import torch


def scaled_dot_product_attention(Q, K, V, mask=None):
    logits = Q @ K.transpose(-2, -1)
    if mask is not None:
        q_len, k_len = logits.shape[-2:]
        keep = torch.tril(torch.ones(q_len, k_len, device=Q.device)).bool()
        logits = logits.masked_fill(~keep, -math.inf)
    logits = logits - logits.max(-1, keepdim=True)[0]
    p = torch.exp(logits)
    p = p / p.sum(-1, keepdim=True)
    return p @ V / math.sqrt(Q.shape[-1])


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return scaled_dot_product_attention(Q, K, V, mask)
