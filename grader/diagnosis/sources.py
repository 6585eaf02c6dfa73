"""Where clues come from: every source that `clues.find_clues` asks, in the order in which their sentences are read.

A student's copy has neither `algorithms` nor `hypotheses`: what a piece might do wrong says what it should do.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator

from .clues import Source
from .structure import find_structure
from .tracing import locate


def sources(lines: bool = True) -> Iterator[Source]:
    """Every source.

    Args:
        lines: whether what is said may name files and lines of the submission.
    """
    yield find_structure
    if importlib.util.find_spec(f"{__package__}.algorithms"):
        from .algorithms import find_algorithm
        from .hypotheses.wrong_formula import wrong_formula

        yield from (find_algorithm, wrong_formula)
    yield functools.partial(locate, lines=lines)
