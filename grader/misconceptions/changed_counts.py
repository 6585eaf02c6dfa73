"""What both kinds of accounting get wrong in the same way: an entry of a table of counts, replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grader.reference import accounting

from .catalogue import Misconception, replacing


def miscounting(
    problem: str, id: str, name: str, function: Callable, diagnosis: str, hint: str, frequency: str = "occasional"
) -> Misconception:
    """A misconception that replaces the function `name` of `accounting`."""
    return replacing(problem, f"accounting.{name}", "", id, function, diagnosis, hint, frequency)


def but(name: str, **changes: Callable[[Any, int], Any]) -> Callable[..., dict[str, Any]]:
    """A function of `accounting` that gives a dict, with some of its entries changed by (config, value) -> value."""
    right = getattr(accounting, name)

    def wrong(config, *arguments):
        counts = right(config, *arguments)
        return counts | {key: change(config, counts[key]) for key, change in changes.items()}

    return wrong


def nothing(config, value):
    return 0


def for_one_head(config, value):
    return value // config.num_heads


def four_times_d_model(config, value):
    return value // config.d_ff * 4 * config.d_model
