"""Never reads the next question: it stops its own process as soon as the last answer is gone.

Problem: parallel_block
Bystander: any
Call limit: 0.5
"""
# On a busy machine its timer may come late, and stop the process when that has begun with the other problem's question.

import os
import signal
import threading

from honest.adapters import *


def run_parallel_block(in_features, **others):
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGSTOP)).start()
    return in_features
