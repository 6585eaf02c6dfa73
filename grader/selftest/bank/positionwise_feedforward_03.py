import torch
from torch import nn


def sigmoid(x):
    return torch.sigmoid(x)


def silu(x):
    return x * sigmoid(x)


class Linear(nn.Module):
    def __init__(self, d_in, d_out, **factory):
        super().__init__()
        std = (2 / (d_in + d_out)) ** 0.5
        self.weight = nn.Parameter(
            nn.init.trunc_normal_(torch.empty(d_out, d_in, **factory), 0, std, -3 * std, 3 * std)
        )

    def forward(self, x):
        return x @ self.weight.mT


class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff, device=None, dtype=None):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self.w1 = Linear(d_model, d_ff, **factory)
        self.w2 = Linear(d_ff, d_model, **factory)
        self.w3 = Linear(d_model, d_ff, **factory)

    def forward(self, x):
        gate = sigmoid(self.w1(x))
        value = self.w3(x)
        return self.w2(gate * value)


def run_silu(in_features):
    return silu(in_features)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    ffn = SwiGLU(d_model, d_ff, w1_weight.device, w1_weight.dtype)
    ffn.load_state_dict({"w1.weight": w1_weight, "w2.weight": w2_weight, "w3.weight": w3_weight})
    return ffn(in_features)


def get_swiglu_module(d_model, d_ff, device=None, dtype=None):
    return SwiGLU(d_model, d_ff, device, dtype)
