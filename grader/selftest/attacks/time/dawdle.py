"""Answers wrongly, and each time just before it would be too late.

Call limit: 0.5
"""

import time

from honest.adapters import *


def run_softmax(in_features, dim):
    time.sleep(0.4)
    return in_features
