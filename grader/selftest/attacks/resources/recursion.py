"""Recurses until something gives.

Limits: memory_mib=600
Call limit: 1
"""

import sys

from honest.adapters import *

sys.setrecursionlimit(1 << 30)


def run_softmax(in_features, dim):
    return run_softmax(in_features, dim)
