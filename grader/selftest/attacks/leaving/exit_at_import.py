"""Ends the process with exit code 0 while it is imported.

Bystander: nothing
"""

import os

from honest.adapters import *

os._exit(0)
