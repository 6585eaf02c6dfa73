"""Returns a result of 128 MiB, twice what is accepted, that takes no memory to make.

Call limit: 10
"""

import torch
from honest.adapters import *


def run_softmax(in_features, dim):
    return torch.zeros(1).expand(1 << 25)
