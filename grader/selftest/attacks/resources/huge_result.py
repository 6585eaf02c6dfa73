"""Returns a result of a gigabyte that takes no memory to make.

Limits: memory_mib=3000
Call limit: 10
"""

import torch
from honest.adapters import *


def run_softmax(in_features, dim):
    return torch.zeros(1).expand(1 << 28)
