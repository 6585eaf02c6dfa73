"""Never reads the next question.

Call limit: 0.5
"""

import sys
import time

from honest.adapters import *


def serve_no_more(*_):
    time.sleep(600)


def run_softmax(in_features, dim):
    sys.modules["__main__"]._receive = serve_no_more
    return in_features
