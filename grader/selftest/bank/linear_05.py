import numpy as np
import torch
from torch import nn


class MyLinear(nn.Module):
    def __init__(self, in_features, out_features, device=None, dtype=None):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        std = np.sqrt(2 / (in_features + out_features))
        data = torch.zeros(out_features, in_features, device=device)
        self.weight = nn.Parameter(data)
        nn.init.trunc_normal_(self.weight, std=std, a=-3 * std, b=3 * std)

    def forward(self, x):
        rows = x.reshape(-1, self.in_features)
        out = rows @ self.weight.t()
        return out


def run_linear(d_in, d_out, weights, in_features):
    lin = MyLinear(d_in, d_out, weights.device, weights.dtype)
    with torch.no_grad():
        lin.weight.copy_(weights)
    return lin(in_features)


def get_linear_module(in_features, out_features, device=None, dtype=None):
    return MyLinear(in_features, out_features, device, dtype)
