"""Leaves folders nested two thousand deep, where paths are too long and recursion ends.

Earns: everything
"""

import os
import tempfile

from honest.adapters import *

home = os.getcwd()
os.chdir(tempfile.mkdtemp())
for _ in range(2000):
    os.mkdir("folder")
    os.chdir("folder")
open("file", "w").close()
os.chdir(home)
