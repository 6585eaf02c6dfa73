"""Leaves a daemon behind: a grandchild in a session of its own.

Earns: everything
"""

import os
import time

from honest.adapters import *

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 1000)
        time.sleep(600)
    os._exit(0)
