"""Returns an iterator where a tensor is due."""

from honest.adapters import *


def run_softmax(in_features, dim):
    return iter(in_features)
