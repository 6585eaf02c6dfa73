"""Takes the memory through children, each within its own limit.

Problem: parallel_block
Limits: memory_mib=800
Call limit: 10
"""

import os
import time

from honest.adapters import *


def run_parallel_block(in_features, **others):
    for _ in range(4):
        if os.fork() == 0:
            hoard = b"x" * (600 << 20)
            time.sleep(600)
            os._exit(len(hoard))
    time.sleep(600)
