"""Stops its own process (SIGSTOP), which then neither answers nor ends.

Call limit: 0.5
"""

import os
import signal

from honest.adapters import *


def run_softmax(in_features, dim):
    os.kill(os.getpid(), signal.SIGSTOP)
    return in_features
