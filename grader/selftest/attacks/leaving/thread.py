"""Keeps a thread running that is not a daemon thread, so that Python would wait for it.

Earns: everything
"""

import threading
import time

from honest.adapters import *

threading.Thread(target=time.sleep, args=(600,)).start()
