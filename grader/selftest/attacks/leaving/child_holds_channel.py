"""Leaves a child that holds every descriptor, and ends: nobody may wait for the child."""

import os
import time

from honest.adapters import *


def run_softmax(in_features, dim):
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
