"""Starts two hundred threads.

Earns: everything
"""

import threading
import time

from honest.adapters import *

for _ in range(200):
    threading.Thread(target=time.sleep, args=(600,)).start()
