"""Imports without Python's garbage collector, which goes through all that is imported, again and again, for nothing.

That is a sixth of the time that importing PyTorch takes, at the start of each of the grader's processes. To leave out
what torch registers for tensors without values would save another fifth, but others that seem to have nothing to do
with that rely on it, such as `torch.Generator`.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Import in the enclosed lines; no later collection goes through what they have made, either."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
