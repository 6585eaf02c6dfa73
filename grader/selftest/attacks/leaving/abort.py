"""Aborts, as failed assertions in native code do.

Problem: parallel_block
"""

import os

from honest.adapters import *


def run_parallel_block(in_features, **others):
    os.abort()
