import torch


def softmax(x, dim):
    m = x.amax(dim=dim, keepdim=True)
    m = torch.where(torch.isinf(m), torch.zeros_like(m), m)
    e = torch.exp(x - m)
    return e / e.sum(dim=dim, keepdim=True).clamp(min=1e-20)


def scaled_dot_product_attention(Q, K, V, mask=None):
    d_k = K.shape[-1]
    scores = torch.einsum("...qd,...kd->...qk", Q, K) / d_k**0.5
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), float("-inf"))
    attn = softmax(scores, dim=-2)
    return torch.einsum("...qk,...kv->...qv", attn, V)


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return scaled_dot_product_attention(Q, K, V, mask)
