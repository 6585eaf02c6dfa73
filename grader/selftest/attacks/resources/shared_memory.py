"""Fills the shared memory of the machine, and leaves it full.

Stopped from: bubblewrap
"""

from honest.adapters import *

with open("/dev/shm/grader-attack-was-here", "wb") as file:
    for _ in range(200):
        file.write(b"x" * (1 << 20))


def run_softmax(in_features, dim):
    return in_features
