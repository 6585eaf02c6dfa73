"""Nothing: the right answer, computed twelve times over, as a measure for the attacks.

Earns: everything
"""

import honest.adapters
from honest.adapters import *


def slow_softmax(x, dim):
    """The right answer, computed twelve times over."""
    for _ in range(12):
        result = honest.adapters.run_softmax(x, dim)
    return result


def run_softmax(in_features, dim):
    return slow_softmax(in_features, dim)
