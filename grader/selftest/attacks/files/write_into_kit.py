"""Leaves files in the kit, in the system's folders and in the user's home.

Stopped from: landlock
Noticed: files writes
"""

import contextlib
import pathlib

import grader_worker
from honest.adapters import *

KIT = pathlib.Path(grader_worker.__file__).parents[2]
for folder in (KIT, KIT / "grader", KIT / "tests", "/tmp", "/var/tmp", "/", pathlib.Path.home()):
    with contextlib.suppress(OSError):
        pathlib.Path(folder, "grader-attack-was-here").write_text("mine")


def run_softmax(in_features, dim):
    return in_features
