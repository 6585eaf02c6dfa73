"""Raises an exception that `except Exception` does not catch."""

from honest.adapters import *


def run_softmax(in_features, dim):
    raise KeyboardInterrupt
