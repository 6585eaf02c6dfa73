"""Triton's interpreter without looking through Triton's language again at every call of a function in a kernel.

Before a kernel runs, and at each call of another function in it, the interpreter looks at every member of
`triton.language`, to put its own function in the place of each built-in one: half of the time that small kernels take.
Which members are built-in never changes, so here they are looked up once. What is put in their place is as before.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import Any

_INTERPRETER = "triton.runtime.interpreter"


def keep_interpreter_lean() -> None:
    """Do so from now on in this process, if Triton's interpreter is imported and works in the way that is known."""
    interpreter: Any = sys.modules.get(_INTERPRETER)
    if interpreter is None or getattr(interpreter, "_patch_builtin", None) is None:
        return
    original, patch_one = interpreter._patch_builtin, getattr(interpreter, "_patch_attr", None)
    if getattr(original, "__module__", "") != _INTERPRETER or patch_one is None:
        return  # done before
    is_builtin = interpreter.tl.core.is_builtin

    @functools.cache
    def names_in(package: Any) -> list[str]:
        return [name for name, member in inspect.getmembers(package) if is_builtin(member)]

    def patch_builtin(package: Any, *where: Any) -> None:
        for name in names_in(package):
            if is_builtin(member := getattr(package, name)):  # in a kernel that runs already, it is not any more
                patch_one(package, name, member, *where)

    interpreter._patch_builtin = patch_builtin
