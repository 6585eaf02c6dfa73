"""Ignores every signal that can be ignored, and loops.

Problem: parallel_block
Call limit: 0.5
"""

import signal

from honest.adapters import *

for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def run_parallel_block(in_features, **others):
    while True:
        pass
