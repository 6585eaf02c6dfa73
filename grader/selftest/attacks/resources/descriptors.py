"""Opens as many files as it can, and keeps them.

Bystander: any
"""

import os

from honest.adapters import *

held = []


def run_softmax(in_features, dim):
    while True:
        held.append(open(os.devnull))
