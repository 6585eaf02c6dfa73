"""Honest code that works in several processes, by all the ways that Python and PyTorch have for it.

Earns: everything
Call limit: 60
"""

import asyncio
import concurrent.futures
import multiprocessing
import multiprocessing.shared_memory
import os
import signal
import socket
import subprocess
import sys

import psutil
import torch
import torch.multiprocessing
from honest import adapters as right
from honest.adapters import *


def in_managers_and_pools():
    with multiprocessing.Manager() as manager:
        shared = manager.dict(a=1)
        assert shared["a"] == 1
    forkserver = multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=forkserver) as pool:
        assert pool.submit(abs, -1).result() == 1
    stuck = forkserver.Process(target=signal.pause)
    stuck.start()
    stuck.terminate()
    stuck.join()


def send(queue, received):
    queue.put(torch.ones(3))
    received.wait()


def in_queues():
    fork = torch.multiprocessing.get_context("fork")
    queue, received = fork.Queue(), fork.Event()
    child = fork.Process(target=send, args=(queue, received))
    child.start()
    assert queue.get(timeout=30).sum() == 3
    received.set()
    child.join()
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=16)
    memory.close()
    memory.unlink()


def in_subprocesses():
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    sleeper = subprocess.Popen(command, start_new_session=True)
    os.kill(sleeper.pid, 0)
    os.killpg(sleeper.pid, signal.SIGTERM)
    sleeper.wait()

    async def ask():
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(1)", stdout=subprocess.PIPE)
        return await process.communicate()

    assert asyncio.run(ask())[0].strip() == b"1"
    one, other = socket.socketpair()
    one.close(), other.close()


def see_what_runs():
    """What psutil finds, and how it finds children, and whether a process is still there."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            with open(f"/proc/{name}/status", "rb") as file:
                file.read()
            os.kill(int(name), 0)
        except OSError:
            pass
    assert psutil.virtual_memory().total > psutil.Process().memory_info().rss
    assert all(child.is_running() for child in psutil.Process().children(recursive=True))
    return [child for child, parent in parents.items() if parent == os.getpid()]


done = []


def run_softmax(in_features, dim):
    if not done:
        done.append(True)
        in_managers_and_pools()
        in_queues()
        in_subprocesses()
        see_what_runs()
    return right.run_softmax(in_features, dim)
