import torch
from torch import nn


def silu(x):
    return x * torch.sigmoid(x)


class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff, device=None, dtype=None):
        super().__init__()
        for name, shape in {"w1": (d_ff, d_model), "w2": (d_model, d_ff), "w3": (d_ff, d_model)}.items():
            std = (2 / (d_model + d_ff)) ** 0.5
            holder = nn.Module()
            holder.weight = nn.Parameter(
                nn.init.trunc_normal_(torch.empty(shape, device=device, dtype=dtype), std=std, a=-3 * std, b=3 * std)
            )
            self.add_module(name, holder)

    def forward(self, x):
        a = x @ self.w1.weight.T
        b = x @ self.w3.weight.T
        return silu(a * b) @ self.w2.weight.T


def run_silu(in_features):
    return silu(in_features)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    net = SwiGLU(d_model, d_ff, w1_weight.device, w1_weight.dtype)
    net.load_state_dict({"w1.weight": w1_weight, "w2.weight": w2_weight, "w3.weight": w3_weight})
    return net(in_features)


def get_swiglu_module(d_model, d_ff, device=None, dtype=None):
    return SwiGLU(d_model, d_ff, device, dtype)
