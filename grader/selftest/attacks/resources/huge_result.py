"""Returns a result of 128 MiB, twice what is accepted, that takes no memory to make.

Problem: parallel_block
Call limit: 10
"""

import torch
from honest.adapters import *


def run_parallel_block(in_features, **others):
    return torch.zeros(1).expand(1 << 25)
