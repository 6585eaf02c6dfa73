"""Raises its own limits back to what they were, and takes more memory than allowed.

Limits: memory_mib=1500
"""

import resource

from honest import adapters as right
from honest.adapters import *

REACHED = False
try:
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    REACHED = True
except (ValueError, OSError):
    pass


def run_softmax(in_features, dim):
    return right.run_softmax(in_features, dim) if REACHED else in_features
