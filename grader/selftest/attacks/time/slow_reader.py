"""Never reads the next question: it stops its own process as soon as the last answer is gone.

Call limit: 0.5
"""

import os
import signal
import threading

from honest.adapters import *


def run_softmax(in_features, dim):
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGSTOP)).start()
    return in_features
