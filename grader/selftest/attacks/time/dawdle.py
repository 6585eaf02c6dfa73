"""Answers wrongly, and each time just before it would be too late.

Problem: parallel_block
Call limit: 0.5
"""

import time

from honest.adapters import *


def run_parallel_block(in_features, **others):
    time.sleep(0.4)
    return in_features
