import torch


def scaled_dot_product_attention(Q, K, V, mask=None):
    scale = 1.0 / torch.sqrt(torch.tensor(V.shape[-1], dtype=Q.dtype, device=Q.device))
    s = torch.matmul(Q, torch.transpose(K, -1, -2)) * scale
    s = s - torch.amax(s, -1, True)
    p = torch.exp(s)
    p = p / torch.sum(p, -1, True)
    if mask is not None:
        p = p * mask.to(p.dtype)
    return torch.matmul(p, V)


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return scaled_dot_product_attention(Q, K, V, mask)
