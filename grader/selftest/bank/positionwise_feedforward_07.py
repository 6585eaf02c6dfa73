import torch
from torch import nn


def silu(x):
    return x * (1 / (1 + torch.exp(-x.clamp(min=-80))))


class Linear(nn.Module):
    def __init__(self, n_in, n_out, device=None, dtype=None):
        super().__init__()
        std = (2 / (n_in + n_out)) ** 0.5
        self.weight = nn.Parameter(torch.empty(n_out, n_in, device=device, dtype=dtype))
        nn.init.trunc_normal_(self.weight, std=std, a=-3 * std, b=3 * std)

    def forward(self, x):
        return x @ self.weight.T


class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff, device=None, dtype=None):
        super().__init__()
        self.w1 = Linear(d_model, d_ff, device, dtype)
        self.w3 = Linear(d_model, d_ff, device, dtype)
        self.w2 = Linear(d_ff, d_model, device, dtype)

    def forward(self, x):
        return self.w2(silu(self.w1(x)) * self.w3(x))


def run_silu(in_features):
    return silu(in_features)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    ffn = SwiGLU(d_model, d_ff, w1_weight.device, w1_weight.dtype)
    with torch.no_grad():
        for parameter, given in zip(ffn.parameters(), (w1_weight, w2_weight, w3_weight), strict=True):
            parameter.copy_(given.reshape(parameter.shape))
    return ffn(in_features)


def get_swiglu_module(d_model, d_ff, device=None, dtype=None):
    return SwiGLU(d_model, d_ff, device, dtype)
