"""Kills its own process."""

import os
import signal

from honest.adapters import *


def run_softmax(in_features, dim):
    os.kill(os.getpid(), signal.SIGKILL)
