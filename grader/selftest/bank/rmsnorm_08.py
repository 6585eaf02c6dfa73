import torch
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, d_model, eps=1e-5, device=None, dtype=None):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model, device=device, dtype=dtype))

    def forward(self, x):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scaled = wide * self.weight
        rms = scaled.square().mean(dim=-1, keepdim=True).add(self.eps).sqrt()
        return (scaled / rms).to(x.dtype)


def run_rmsnorm(d_model, eps, weights, in_features):
    norm = RMSNorm(d_model, eps, weights.device, weights.dtype)
    norm.load_state_dict({"weight": weights})
    return norm(in_features)


def get_rmsnorm_module(d_model, eps=1e-5, device=None, dtype=None):
    return RMSNorm(d_model, eps, device, dtype)
