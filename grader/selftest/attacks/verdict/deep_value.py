"""Sends the judge a value nested five hundred deep, to exhaust its recursion.

Problem: parallel_block
"""

import os
import socket
import struct
import sys

import msgpack
from honest.adapters import *


def request_id():
    """The number of the request that is being answered, from the frame of the worker's main loop."""
    frame = sys._getframe()
    while frame:
        if isinstance(request := frame.f_locals.get("request"), dict):
            return request["id"]
        frame = frame.f_back
    return 0


def send(body):
    with socket.socket(fileno=os.dup(int(sys.argv[1]))) as channel:
        channel.sendall(struct.pack(">Q", len(body)) + body)


def run_parallel_block(in_features, **others):
    nested = b"\x91" * 500 + b"\xc0"
    send(b"\x83\xa2id" + msgpack.packb(request_id()) + b"\xa4kind\xa2ok\xa5value" + nested)
    os._exit(0)
