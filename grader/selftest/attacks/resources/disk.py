"""Fills the disk.

Problem: parallel_block
Limits: disk_mib=64
Call limit: 5
"""

import tempfile
import time

from honest.adapters import *


def run_parallel_block(in_features, **others):
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(300):
            file.write(b"x" * (1 << 20))
        time.sleep(600)
