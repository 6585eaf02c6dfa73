import math

import torch


def log_softmax(x):
    x = x - x.max(-1, keepdim=True)[0]
    return x / math.log(2) - torch.log2(torch.exp(x).sum(-1, keepdim=True))


def cross_entropy(logits, targets):
    lp = log_softmax(logits.double())
    one_hot = torch.zeros_like(lp).scatter_(-1, targets.unsqueeze(-1), 1.0)
    one_hot = one_hot.bool()
    return -lp[one_hot].mean().to(torch.promote_types(logits.dtype, torch.float32))


def run_cross_entropy(inputs, targets):
    return cross_entropy(inputs, targets)
