import math

from einops import einsum


def scaled_dot_product_attention(Q, K, V, mask=None):
    scores = einsum(Q, K, "... q d, ... k d -> ... q k") / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores + mask.to(scores.dtype)
    exps = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    probs = exps / exps.sum(dim=-1, keepdim=True)
    return einsum(probs, V, "... q k, ... k d -> ... q d")


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return scaled_dot_product_attention(Q, K, V, mask)
