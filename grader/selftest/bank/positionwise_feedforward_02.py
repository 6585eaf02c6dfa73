import torch
from torch import nn


class Linear(nn.Module):
    def __init__(self, d_in, d_out, device=None, dtype=None):
        super().__init__()
        s = (2 / (d_in + d_out)) ** 0.5
        self.weight = nn.Parameter(torch.empty(d_out, d_in, device=device, dtype=dtype))
        nn.init.trunc_normal_(self.weight, 0, s, -3 * s, 3 * s)

    def forward(self, x):
        return torch.einsum("...i,oi->...o", x, self.weight)


class SiLU(nn.Module):
    def forward(self, x):
        e = torch.exp(x)
        return x * (e / (1 + e))


class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff, device=None, dtype=None):
        super().__init__()
        self.act = SiLU()
        self.w1 = Linear(d_model, d_ff, device, dtype)
        self.w3 = Linear(d_model, d_ff, device, dtype)
        self.w2 = Linear(d_ff, d_model, device, dtype)

    def forward(self, x):
        gate = self.act(self.w1(x))
        return self.w2(gate * self.w3(x))


def run_silu(in_features):
    return SiLU()(in_features)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    ffn = SwiGLU(d_model, d_ff, w1_weight.device, w1_weight.dtype)
    ffn.load_state_dict({"w1.weight": w1_weight, "w2.weight": w2_weight, "w3.weight": w3_weight})
    return ffn(in_features)


def get_swiglu_module(d_model, d_ff, device=None, dtype=None):
    return SwiGLU(d_model, d_ff, device, dtype)
