"""Drivers: small programs that run beside the student's code and turn stateful things into plain data.

An optimizer, a tokenizer or a checkpoint cannot cross the wall; a driver takes plain data, uses the object the way a
training script would, and returns what came of it. Each driver takes the `Operations` first and keyword arguments after
it; `DRIVERS` is the table of those that a test can call by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import (
    accounting,
    bpe,
    caches,
    checkpoint,
    construction,
    data,
    decoding,
    functional,
    kernels,
    modules,
    optimizer,
    tensors_held,
    timing,
    tokenizer,
    training,
)

_MODULES = (
    *(accounting, bpe, caches, checkpoint, construction, data, decoding, functional),
    *(kernels, modules, optimizer, tensors_held, timing, tokenizer, training),
)

DRIVERS: dict[str, Callable[..., Any]] = {
    function.__name__: function for module in _MODULES for function in module.DRIVERS
}
