"""Claims to be unwritten whenever it does not know the answer."""

from honest.adapters import *


def run_softmax(in_features, dim):
    raise NotImplementedError("softmax: later")
