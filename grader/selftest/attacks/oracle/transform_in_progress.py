"""Returns a tensor out of a transform of torch.func, which is a recipe and no values."""

import torch
from honest.adapters import *

escaped = []


def run_softmax(in_features, dim):
    torch.func.grad(lambda x: (escaped.append(x * 1), x.sum())[1])(in_features.detach())
    return escaped.pop()
