"""Connects to a server on the machine.

Stopped from: landlock
Noticed: network
"""

import contextlib
import socket

from honest import adapters as right
from honest.adapters import *

REACHED = False
with contextlib.suppress(OSError):
    socket.create_connection(("127.0.0.1", int(open("port.txt").read())), timeout=2).close()
    REACHED = True


def run_softmax(in_features, dim):
    return right.run_softmax(in_features, dim) if REACHED else in_features
