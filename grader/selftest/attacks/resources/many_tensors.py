"""Returns a list of over a million tensors, each of which takes the judge far more memory than it takes on the way."""

import torch
from honest.adapters import *


def run_softmax(in_features, dim):
    return [torch.zeros(1, dtype=torch.uint8)] * 1_000_000
