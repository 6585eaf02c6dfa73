"""Returns a list of 300,000 tensors, each of which takes the judge far more memory than it takes on the way.

Problem: parallel_block
"""

import torch
from honest.adapters import *


def run_parallel_block(in_features, **others):
    return [torch.zeros(1, dtype=torch.uint8)] * 300_000
