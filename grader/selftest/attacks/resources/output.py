"""Prints fifty megabytes.

Earns: everything
"""

import os

from honest.adapters import *

for _ in range(50):
    os.write(1, b"x" * (1 << 20))
