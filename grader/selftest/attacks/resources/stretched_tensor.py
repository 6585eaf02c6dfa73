"""Returns a tensor whose elements lie so far apart that the judge needs 64 times its size to hold it.

Problem: parallel_block
"""

import torch
from honest.adapters import *


def run_parallel_block(in_features, **others):
    return torch.empty(30 << 26, dtype=torch.uint8)[::64]
