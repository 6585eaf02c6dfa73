"""Opens settings of the machine's kernel for writing, as root's processes may, and leaves them as they are.

Stopped from: landlock
Noticed: writes
"""

import contextlib
import os

from honest import adapters as right
from honest.adapters import *

REACHED = False
for path in ("/proc/sys/kernel/hostname", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory"):
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY))
        REACHED = True


def run_softmax(in_features, dim):
    return right.run_softmax(in_features, dim) if REACHED else in_features
