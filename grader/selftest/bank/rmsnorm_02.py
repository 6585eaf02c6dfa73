import torch
from einops import reduce
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, d_model, eps=1e-5, device=None, dtype=None):
        super().__init__()
        self.d_model, self.eps = d_model, eps
        self.weight = nn.Parameter(torch.ones(d_model, device=device, dtype=dtype))

    def forward(self, x):
        dtype = x.dtype
        x = x.to(torch.promote_types(dtype, torch.float32))
        ms = reduce(x**2, "... d -> ... 1", "sum")
        x = x * torch.rsqrt(ms + self.eps)
        return (x * self.weight).to(dtype)


def run_rmsnorm(d_model, eps, weights, in_features):
    norm = RMSNorm(d_model, eps, weights.device, weights.dtype)
    norm.load_state_dict({"weight": weights})
    return norm(in_features)


def get_rmsnorm_module(d_model, eps=1e-5, device=None, dtype=None):
    return RMSNorm(d_model, eps, device, dtype)
