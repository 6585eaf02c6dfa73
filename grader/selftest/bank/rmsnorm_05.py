import torch
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, d_model, eps=1e-5, device=None, dtype=None):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones((d_model,), device=device, dtype=dtype))

    def forward(self, x):
        original = x.dtype
        if original in (torch.float16, torch.bfloat16):
            x = x.to(torch.float32)
        axis = 1 if x.ndim > 1 else 0
        mean_square = torch.mean(torch.square(x), axis, keepdim=True)
        x = x / torch.sqrt(mean_square + self.eps)
        x = x * self.weight
        return x.to(original)


def run_rmsnorm(d_model, eps, weights, in_features):
    norm = RMSNorm(d_model, eps, weights.device, weights.dtype)
    norm.load_state_dict({"weight": weights})
    return norm(in_features)


def get_rmsnorm_module(d_model, eps=1e-5, device=None, dtype=None):
    return RMSNorm(d_model, eps, device, dtype)
