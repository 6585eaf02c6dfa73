import torch


def softmax(x):
    x = x - x.max(dim=-1, keepdim=True).values
    x = x.exp()
    return x / x.sum(dim=-1, keepdim=True)


def scaled_dot_product_attention(Q, K, V, mask=None):
    d_k = Q.size(-1)
    scores = Q @ K.transpose(-2, -1) * d_k**-0.5
    if mask is not None:
        scores = scores.masked_fill(mask == 0, 1e-9)
    weights = softmax(scores)
    return torch.einsum("...qk,...kd->...qd", weights, V)


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return scaled_dot_product_attention(Q, K, V, mask)
