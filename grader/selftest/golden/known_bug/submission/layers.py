import torch


def linear(weight, x):
    """Takes the weight as [d_in, d_out], where the assignment stores [d_out, d_in]."""
    return x @ weight


def silu(x):
    return x * torch.sigmoid(x)


def swiglu(w1, w2, w3, x):
    return linear(w2, silu(linear(w1, x)) * linear(w3, x))
