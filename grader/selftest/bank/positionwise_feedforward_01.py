import torch
from torch import nn


def silu(x):
    return x / (1 + torch.exp(x))


class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff, device=None, dtype=None):
        super().__init__()
        self.w1 = Matrix(d_ff, d_model, device, dtype)
        self.w2 = Matrix(d_model, d_ff, device, dtype)
        self.w3 = Matrix(d_ff, d_model, device, dtype)

    def forward(self, x):
        return self.w2(silu(self.w1(x)) * self.w3(x))


class Matrix(nn.Module):
    def __init__(self, rows, cols, device=None, dtype=None):
        super().__init__()
        std = (2 / (rows + cols)) ** 0.5
        self.weight = nn.Parameter(torch.empty(rows, cols, device=device, dtype=dtype))
        nn.init.trunc_normal_(self.weight, std=std, a=-3 * std, b=3 * std)

    def forward(self, x):
        return x @ self.weight.T


def run_silu(in_features):
    return silu(in_features)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    ffn = SwiGLU(d_model, d_ff, w1_weight.device, w1_weight.dtype)
    ffn.load_state_dict({"w1.weight": w1_weight, "w2.weight": w2_weight, "w3.weight": w3_weight})
    return ffn(in_features)


def get_swiglu_module(d_model, d_ff, device=None, dtype=None):
    return SwiGLU(d_model, d_ff, device, dtype)
