"""Nothing: the right answer, computed forty times over, as a measure for the attacks.

Earns: everything
"""

import honest.adapters
from honest.adapters import *


def slow_softmax(x, dim):
    """The right answer, computed forty times over."""
    for _ in range(40):
        result = honest.adapters.run_softmax(x, dim)
    return result


def run_softmax(in_features, dim):
    return slow_softmax(in_features, dim)
