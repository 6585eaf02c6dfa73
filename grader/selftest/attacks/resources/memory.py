"""Takes as much memory as there is.

Limits: memory_mib=500
Call limit: 5
"""

from honest.adapters import *


def run_softmax(in_features, dim):
    hoard = []
    while True:
        hoard.append(b"x" * (1 << 26))
