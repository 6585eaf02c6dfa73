"""Starts processes, fifty at most, where twenty are allowed.

Problem: parallel_block
Limits: processes=20
Call limit: 5
"""

import os
import time

from honest.adapters import *


def run_parallel_block(in_features, **others):
    for _ in range(50):
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
    time.sleep(600)
