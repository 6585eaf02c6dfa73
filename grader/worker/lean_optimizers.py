"""Optimizers that do not import torch's compiler: it takes as long as torch itself, and most processes never compile.

`torch._compile` imports `torch._dynamo` at the first call of a few methods of `torch.optim.Optimizer`, to mark them as
not to be compiled, and keeps the marked function as an attribute of the original. Here the original is kept there. What
this changes is what `torch.compile` does with such a call inside a compiled function: it is compiled as well.
"""

from __future__ import annotations

from types import FunctionType

import torch

_KEPT_AS = "__dynamo_disable"


def keep_compiler_away() -> None:
    """Let optimizers be made, and their state be read and loaded, without torch's compiler, in this process."""
    for method in vars(torch.optim.Optimizer).values():
        if isinstance(method, FunctionType) and method.__code__.co_filename == torch._compile.__file__:
            original = method.__dict__["__wrapped__"]
            original.__dict__.setdefault(_KEPT_AS, original)
