"""Loops for ever.

Call limit: 0.5
"""

from honest.adapters import *


def run_softmax(in_features, dim):
    while True:
        pass
