"""Honest code that logs, times, profiles and debugs itself, and reads what it finds on the machine.

Earns: everything
"""

import atexit
import collections
import cProfile
import dataclasses
import enum
import faulthandler
import gc
import importlib.metadata
import inspect
import io
import logging
import os
import pathlib
import resource
import sys
import tempfile
import time
import traceback
import tracemalloc
import typing
import warnings

import rich
import rich.console
import torch
import tqdm
from honest import adapters as right
from honest.adapters import *

logging.basicConfig(level=logging.DEBUG, format="%(filename)s:%(lineno)d %(funcName)s %(message)s")
log = logging.getLogger(__name__)
faulthandler.enable()
atexit.register(print, "done")


def caller():
    return inspect.stack()[1].function


def name_of(value):
    """What the caller calls a value."""
    frame = inspect.currentframe()
    return [name for name, other in frame.f_back.f_locals.items() if other is value]


def depth(frame):
    count = 0
    while frame := frame.f_back:
        count += 1
    return count


def debugged(x):
    assert caller() == "debugged"
    assert name_of(x) == ["x"]
    assert inspect.currentframe().f_code.co_name == "debugged"
    assert sys._getframe(1).f_lineno
    assert depth(sys._getframe())
    log.debug("called from %s with %s", caller(), inspect.signature(debugged), stack_info=True)
    traceback.print_stack(file=io.StringIO())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn("careful", stacklevel=3)
    try:
        raise ValueError(x)
    except ValueError as error:
        depth(error.__traceback__.tb_frame)
        log.exception("caught")
    rich.inspect(x, console=rich.console.Console(file=io.StringIO()))
    list(tqdm.tqdm(range(3), file=io.StringIO()))


def typed():
    pair = collections.namedtuple("Pair", "left right")
    dataclasses.make_dataclass("Point", ["x", "y"])(1, 2)
    enum.Enum("Color", "RED GREEN")
    typing.NamedTuple("Named", [("a", int)])
    namespace = {}
    exec(compile("def f(): return 1", "<generated>", "exec"), namespace)
    exec(compile("def g(): return 1", __file__, "exec"), namespace)
    assert namespace["f"]() + namespace["g"]() == pair(1, 1).left + 1


def measured():
    tracemalloc.start()
    with cProfile.Profile() as profile:
        sorted(range(100))
    profile.create_stats()
    tracemalloc.get_traced_memory()
    tracemalloc.stop()
    gc.collect()
    resource.getrusage(resource.RUSAGE_SELF)
    for name in ("self/status", "self/statm", "self/stat", "self/maps", "meminfo", "cpuinfo", "stat", "loadavg"):
        with open(f"/proc/{name}") as file:
            file.readline()
    time.perf_counter_ns()


def found():
    assert importlib.metadata.version("torch")
    pathlib.Path(torch.__file__).read_text()
    os.listdir(os.path.dirname(torch.__file__))
    cache = pathlib.Path.home() / ".cache" / "matplotlib"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "fontlist.json").write_text("{}")
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("mine")
    for path in ("/etc/os-release", "/proc/version"):
        if os.access(path, os.R_OK):
            pathlib.Path(path).read_text()


calls = []


def run_softmax(in_features, dim):
    calls.append(dim)
    if len(calls) <= 3:
        debugged(in_features)
        typed()
        measured()
        found()
    return right.run_softmax(in_features, dim)
