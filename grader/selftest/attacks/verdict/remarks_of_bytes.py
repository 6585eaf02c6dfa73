"""Answers rightly, with remarks beside it whose names are bytes and numbers.

Noticed: channel
"""

import os
import socket
import struct
import sys

from grader_worker import wire
from honest.adapters import *
from honest.adapters import run_softmax as right


def request_id():
    """The number of the request that is being answered, from the frame of the worker's main loop."""
    frame = sys._getframe()
    while frame:
        if isinstance(request := frame.f_locals.get("request"), dict):
            return request["id"]
        frame = frame.f_back
    return 0


def run_softmax(in_features, dim):
    remarks = [{b"kind": "tampered", 7: "x"}]
    answer = {"id": request_id(), "kind": "ok", "value": right(in_features, dim)}
    body = wire.encode({**answer, "uses_seen": remarks, "noticed": remarks})
    with socket.socket(fileno=os.dup(int(sys.argv[1]))) as channel:
        channel.sendall(struct.pack(">Q", len(body)) + body)
    os._exit(0)
