import math


def scaled_dot_product_attention(Q, K, V, mask=None):
    *lead, n_keys, d_k = K.shape
    scores = Q @ K.reshape(*lead, d_k, n_keys)
    scores = scores / math.sqrt(d_k)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = (scores - scores.max(dim=-1, keepdim=True).values).exp()
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights @ V


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return scaled_dot_product_attention(Q, K, V, mask)
