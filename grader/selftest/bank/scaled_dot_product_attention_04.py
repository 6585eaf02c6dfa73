import torch


def scaled_dot_product_attention(Q, K, V, mask=None):
    scores = (Q @ K.mT) / Q.shape[-1] ** 0.5
    peak = scores.max(dim=-1, keepdim=True).values
    weights = torch.exp(scores - peak)
    if mask is not None:
        weights = weights * mask
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights @ V


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return scaled_dot_product_attention(Q, K, V, mask)
