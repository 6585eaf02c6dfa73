"""Loops for ever.

Call limit: 1
"""

from honest.adapters import *


def run_softmax(in_features, dim):
    while True:
        pass
