"""Sends its answer one byte at a time, each just in time.

Problem: parallel_block
Call limit: 0.5
"""

import os
import socket
import struct
import sys
import time

from honest.adapters import *

channel = socket.socket(fileno=os.dup(int(sys.argv[1])))


def run_parallel_block(in_features, **others):
    channel.sendall(struct.pack(">Q", 1000))
    while True:
        channel.sendall(b"x")
        time.sleep(0.1)
