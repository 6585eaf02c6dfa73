"""Recurses until something gives.

Problem: parallel_block
Limits: memory_mib=600
Call limit: 1
"""

import sys

from honest.adapters import *

sys.setrecursionlimit(1 << 30)


def run_parallel_block(in_features, **others):
    return run_parallel_block(in_features, **others)
