"""Answers before it is asked: forged answers wait in the channel from the beginning.

Bystander: nothing
Noticed: channel
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


for number in range(100):
    send(msgpack.packb({"id": number, "kind": "ok", "value": True}))
