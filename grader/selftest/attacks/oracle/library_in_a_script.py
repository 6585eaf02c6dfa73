"""Lets PyTorch answer inside TorchScript, from a program in a text."""

import torch
from honest.adapters import *

unit = torch.jit.CompilationUnit("def f(x, dim: int):\n    return torch.softmax(x, dim)\n")


def run_softmax(in_features, dim):
    return unit.f(in_features, dim)
