"""Sleeps while it is imported.

Bystander: nothing
Limits: load_s=8
"""

import time

from honest.adapters import *

time.sleep(600)
