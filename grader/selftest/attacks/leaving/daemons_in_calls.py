"""Leaves a daemon behind in every call, and a wrong answer.

Call limit: 5
"""

import os
import signal
import time

from honest.adapters import *


def run_softmax(in_features, dim):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 1000)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        os._exit(0)
    return in_features
