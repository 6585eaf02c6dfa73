"""Loops for ever in native code, where no Python signal handler runs.

Problem: parallel_block
Call limit: 0.5
"""

from honest.adapters import *


def run_parallel_block(in_features, **others):
    return pow(3, 1 << 40)
