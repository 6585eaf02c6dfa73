import math

import torch
from torch import nn


class Linear(nn.Module):
    def __init__(self, in_features, out_features, device=None, dtype=None):
        super().__init__()
        std = math.sqrt(2.0 / (in_features + out_features))
        w = torch.empty(in_features, out_features, device=device, dtype=dtype)
        nn.init.trunc_normal_(w, mean=0.0, std=std, a=-3 * std, b=3 * std)
        self.weight = nn.Parameter(w)

    def forward(self, x):
        return x @ self.weight


def run_linear(d_in, d_out, weights, in_features):
    layer = Linear(d_in, d_out, weights.device, weights.dtype)
    layer.weight.data = weights.reshape(d_in, d_out)
    return layer(in_features)


def get_linear_module(in_features, out_features, device=None, dtype=None):
    return Linear(in_features, out_features, device, dtype)
