"""Never ends: its exit handler sleeps, and signals are ignored.

Earns: everything
"""

import atexit
import signal
import time

from honest.adapters import *

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
    signal.signal(number, signal.SIG_IGN)
atexit.register(time.sleep, 600)
