import torch
from einops import einsum
from torch import nn


class Linear(nn.Module):
    def __init__(self, in_features, out_features, device=None, dtype=None):
        super().__init__()
        self.weight = nn.Parameter(torch.empty((out_features, in_features), device=device, dtype=dtype))
        sigma = 2 / (in_features + out_features)
        nn.init.trunc_normal_(self.weight, 0, sigma, -3 * sigma, 3 * sigma)

    def forward(self, x):
        return einsum(self.weight, x, "out inp, ... inp -> ... out")


def run_linear(d_in, d_out, weights, in_features):
    m = Linear(d_in, d_out, device=weights.device, dtype=weights.dtype)
    m.load_state_dict({"weight": weights})
    return m(in_features)


def get_linear_module(in_features, out_features, device=None, dtype=None):
    return Linear(in_features, out_features, device=device, dtype=dtype)
