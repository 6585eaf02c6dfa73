import torch
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, d_model, eps=1e-5, device=None, dtype=None):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model, device=device, dtype=dtype))
        self.eps = eps

    def forward(self, x):
        h = x if x.dtype == torch.float64 else x.float()
        scale = torch.rsqrt((h * h).mean(dim=-1, keepdim=True) + self.eps)
        if not h.requires_grad:
            h *= scale
        else:
            h = h * scale
        return (h * self.weight).to(x.dtype)


def run_rmsnorm(d_model, eps, weights, in_features):
    norm = RMSNorm(d_model, eps, weights.device, weights.dtype)
    norm.load_state_dict({"weight": weights})
    return norm(in_features)


def get_rmsnorm_module(d_model, eps=1e-5, device=None, dtype=None):
    return RMSNorm(d_model, eps, device, dtype)
