import math

import torch
from torch import nn


class Linear(nn.Module):
    def __init__(self, in_features, out_features, device=None, dtype=None):
        super().__init__()
        std = math.sqrt(2 / (in_features + out_features))
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        nn.init.trunc_normal_(self.weight, 0.0, std, -3 * std, 3 * std)

    def forward(self, x):
        y = x.detach().cpu().numpy() @ self.weight.detach().cpu().numpy().T
        return torch.from_numpy(y).to(x.device)


def silu(x):
    return x * torch.sigmoid(x)


class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff, device=None, dtype=None):
        super().__init__()
        self.w1 = Linear(d_model, d_ff, device, dtype)
        self.w2 = Linear(d_ff, d_model, device, dtype)
        self.w3 = Linear(d_model, d_ff, device, dtype)

    def forward(self, x):
        return self.w2(self.w1(x) * silu(self.w3(x)))


def run_linear(d_in, d_out, weights, in_features):
    layer = Linear(d_in, d_out, weights.device, weights.dtype)
    layer.load_state_dict({"weight": weights})
    return layer(in_features)


def get_linear_module(in_features, out_features, device=None, dtype=None):
    return Linear(in_features, out_features, device, dtype)


def run_silu(in_features):
    return silu(in_features)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    ffn = SwiGLU(d_model, d_ff, w1_weight.device, w1_weight.dtype)
    ffn.load_state_dict({"w1.weight": w1_weight, "w2.weight": w2_weight, "w3.weight": w3_weight})
    return ffn(in_features)


def get_swiglu_module(d_model, d_ff, device=None, dtype=None):
    return SwiGLU(d_model, d_ff, device, dtype)
