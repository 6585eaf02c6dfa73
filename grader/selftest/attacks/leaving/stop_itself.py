"""Stops its own process (SIGSTOP), which then neither answers nor ends.

Problem: parallel_block
Call limit: 0.5
"""

import os
import signal

from honest.adapters import *


def run_parallel_block(in_features, **others):
    os.kill(os.getpid(), signal.SIGSTOP)
    return in_features
