"""Leaves children that compute for ever, to slow down whatever is graded after it.

Problem: parallel_block
Call limit: 5
"""

import os

from honest.adapters import *


def run_parallel_block(in_features, **others):
    for _ in range(2):
        if os.fork() == 0:
            os.setsid()
            while True:
                pass
    os._exit(0)
