"""Loops for ever in native code, where no Python signal handler runs.

Call limit: 0.5
"""

from honest.adapters import *


def run_softmax(in_features, dim):
    return pow(3, 1 << 40)
