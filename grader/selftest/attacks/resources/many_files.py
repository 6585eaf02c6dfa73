"""Writes thousands of empty files.

Problem: parallel_block
Limits: files=500
Call limit: 5
"""

import pathlib
import tempfile
import time

from honest.adapters import *


def run_parallel_block(in_features, **others):
    folder = pathlib.Path(tempfile.mkdtemp())
    for i in range(3000):
        (folder / str(i)).touch()
    time.sleep(600)
