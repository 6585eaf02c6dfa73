"""Loops for ever.

Problem: parallel_block
Call limit: 0.5
"""

from honest.adapters import *


def run_parallel_block(in_features, **others):
    while True:
        pass
