"""What the constructors of all layers forget in the same way: an argument that they take and do not use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def forgetting(option: str, constructor: Callable[..., None]) -> Callable[..., None]:
    """A constructor that takes one of its optional arguments, such as `device`, and goes on as if it were None."""
    signature = inspect.signature(constructor)

    def init(*arguments: Any, **options: Any) -> None:
        given = signature.bind(*arguments, **options)
        given.arguments[option] = None
        constructor(*given.args, **given.kwargs)

    return init
