import torch
from torch import nn


def silu(x):
    return x * torch.sigmoid(x)


class Linear(nn.Module):
    def __init__(self, n_in, n_out, device=None, dtype=None):
        super().__init__()
        std = (2 / (n_in + n_out)) ** 0.5
        w = torch.empty(n_out, n_in, device=device, dtype=dtype)
        self.weight = nn.Parameter(nn.init.trunc_normal_(w, std=std, a=-3 * std, b=3 * std))

    def forward(self, x):
        return torch.tensordot(x, self.weight, dims=([-1], [1]))


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff, device=None, dtype=None):
        super().__init__()
        self.w1 = Linear(d_model, d_ff, device, dtype)
        self.w2 = Linear(d_ff, d_model, device, dtype)
        self.w3 = Linear(d_model, d_ff, device, dtype)

    def forward(self, x):
        up = self.w1(x)
        gate = self.w3(x)
        hidden = silu(gate) + up
        return self.w2(hidden)


def run_silu(in_features):
    return silu(in_features)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    ffn = FeedForward(d_model, d_ff, w1_weight.device, w1_weight.dtype)
    ffn.load_state_dict({"w1.weight": w1_weight, "w2.weight": w2_weight, "w3.weight": w3_weight})
    return ffn(in_features)


def get_swiglu_module(d_model, d_ff, device=None, dtype=None):
    return FeedForward(d_model, d_ff, device, dtype)
