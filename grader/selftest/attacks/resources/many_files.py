"""Writes thousands of empty files.

Limits: files=500
Call limit: 5
"""

import pathlib
import tempfile
import time

from honest.adapters import *


def run_softmax(in_features, dim):
    folder = pathlib.Path(tempfile.mkdtemp())
    for i in range(3000):
        (folder / str(i)).touch()
    time.sleep(600)
