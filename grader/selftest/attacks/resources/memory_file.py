"""Takes the memory as a file in memory, which no limit on data counts.

Problem: parallel_block
Limits: disk_mib=64
Call limit: 5
"""

import os
import time

from honest.adapters import *


def run_parallel_block(in_features, **others):
    file = os.memfd_create("hoard")
    for _ in range(300):
        os.write(file, b"x" * (1 << 20))
    time.sleep(600)
