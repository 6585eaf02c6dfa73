"""Computes in bfloat16 what is given in float32."""

import torch
from honest.adapters import *


def run_softmax(in_features, dim):
    return torch.softmax(in_features.bfloat16(), dim).float()
