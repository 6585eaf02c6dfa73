"""Takes as much memory as there is.

Problem: parallel_block
Limits: memory_mib=500
Call limit: 5
"""

from honest.adapters import *


def run_parallel_block(in_features, **others):
    hoard = []
    while True:
        hoard.append(b"x" * (1 << 26))
