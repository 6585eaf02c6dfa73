"""Aborts, as failed assertions in native code do."""

import os

from honest.adapters import *


def run_softmax(in_features, dim):
    os.abort()
