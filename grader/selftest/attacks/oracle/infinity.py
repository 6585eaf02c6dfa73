"""Returns infinities."""

import torch
from honest.adapters import *


def run_softmax(in_features, dim):
    return torch.full_like(in_features, float("inf"))
