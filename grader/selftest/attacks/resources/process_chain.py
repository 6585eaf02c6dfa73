"""Is never where one looks: each process starts the next one and ends, 2000 times.

Earns: everything
"""

import os
import time

from honest.adapters import *

if os.fork() == 0:
    os.setsid()
    for _ in range(2000):
        if os.fork():
            os._exit(0)
        time.sleep(0.005)
    os._exit(0)
