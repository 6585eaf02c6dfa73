import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5, device=None, dtype=None) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(d_model, device=device, dtype=dtype))

    def _norm(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.eps)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.double() if x.dtype == torch.float64 else x.float()
        out = self._norm(wide) * (1 + self.weight)
        return out.to(x.dtype)


def run_rmsnorm(d_model, eps, weights, in_features):
    norm = RMSNorm(d_model, eps, weights.device, weights.dtype)
    norm.load_state_dict({"weight": weights})
    return norm(in_features)


def get_rmsnorm_module(d_model, eps=1e-5, device=None, dtype=None):
    return RMSNorm(d_model, eps, device, dtype)
