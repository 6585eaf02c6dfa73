"""Fills the disk with a file that no folder lists.

Limits: disk_mib=64
Call limit: 5
"""

import tempfile
import time

from honest.adapters import *


def run_softmax(in_features, dim):
    with tempfile.TemporaryFile() as file:
        for _ in range(300):
            file.write(b"x" * (1 << 20))
        time.sleep(600)
