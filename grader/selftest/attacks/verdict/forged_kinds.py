"""Answers the judge with fields of the wrong types.

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
    send(msgpack.packb({"id": request_id(), "kind": "error", "message": [1] * 100, "traceback": {}, "type": 7}))
    os._exit(0)
