import torch
import torch.nn as nn


class Linear(nn.Module):
    """Affine layer used all over the model."""

    def __init__(self, in_features, out_features, device=None, dtype=None):
        super().__init__()
        kwargs = {"device": device, "dtype": dtype}
        std = (2 / (in_features + out_features)) ** 0.5
        self.weight = nn.Parameter(
            nn.init.trunc_normal_(torch.empty(out_features, in_features, **kwargs), mean=0, std=std, a=-3, b=3)
        )
        self.bias = nn.Parameter(torch.zeros(out_features, **kwargs))

    def forward(self, x):
        return torch.matmul(x, self.weight.transpose(0, 1)) + self.bias


def run_linear(d_in, d_out, weights, in_features):
    linear = Linear(d_in, d_out, weights.device, weights.dtype)
    linear.load_state_dict({"weight": weights}, strict=False)
    return linear(in_features)


def get_linear_module(in_features, out_features, device=None, dtype=None):
    return Linear(in_features, out_features, device, dtype)
