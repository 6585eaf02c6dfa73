"""Becomes root of a user namespace of its own, to mount what it likes.

Stopped from: bubblewrap
"""

import ctypes
import os

from honest import adapters as right
from honest.adapters import *

NEW_USER, NEW_MOUNT = 0x10000000, 0x00020000
child = os.fork()  # a process with threads may not
if child == 0:
    os._exit(ctypes.CDLL(None).unshare(NEW_USER | NEW_MOUNT) != 0)
REACHED = os.waitpid(child, 0)[1] == 0


def run_softmax(in_features, dim):
    return right.run_softmax(in_features, dim) if REACHED else in_features
