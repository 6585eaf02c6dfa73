"""Reads address 0.

Problem: parallel_block
"""

import ctypes

from honest.adapters import *


def run_parallel_block(in_features, **others):
    return ctypes.string_at(0)
