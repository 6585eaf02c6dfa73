"""Starts processes, fifty at most, where twenty are allowed.

Limits: processes=20
Call limit: 5
"""

import os
import time

from honest.adapters import *


def run_softmax(in_features, dim):
    for _ in range(50):
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
    time.sleep(600)
