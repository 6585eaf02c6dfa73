"""Ignores every signal that can be ignored, and loops.

Call limit: 0.5
"""

import signal

from honest.adapters import *

for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def run_softmax(in_features, dim):
    while True:
        pass
