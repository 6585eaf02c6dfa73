"""Lets PyTorch call its own function, as what it maps over a tree."""

import torch
from honest.adapters import *
from torch.utils._pytree import tree_map


def run_softmax(in_features, dim):
    return tree_map(lambda x: next(map(torch.softmax, [x], [dim])), (in_features,))[0]
