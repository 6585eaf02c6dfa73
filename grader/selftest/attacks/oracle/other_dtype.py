"""Returns everything as complex numbers, of which comparisons may drop a half."""

import torch
from honest import adapters as right
from honest.adapters import *


def run_softmax(in_features, dim):
    return right.run_softmax(in_features, dim).to(torch.complex64)
