"""Fills the disk with files beside its own.

Problem: parallel_block
Limits: disk_mib=64
Call limit: 5
"""

import time

from honest.adapters import *


def run_parallel_block(in_features, **others):
    with open("hoard", "wb") as file:
        for _ in range(300):
            file.write(b"x" * (1 << 20))
        time.sleep(600)
