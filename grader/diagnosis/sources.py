"""Where clues come from: every source that `clues.find_clues` asks, in the order in which their sentences are read.

A student's copy has neither `algorithms` nor `hypotheses`: what a piece might do wrong says what it should do.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from .clues import Source
from .misspelt import find_misspelt
from .structure import find_structure
from .tracing import locate

if TYPE_CHECKING:
    from .hypotheses.found import Found


def sources(lines: bool = True, found: Iterable[Found] = ()) -> Iterator[Source]:
    """Every source.

    Args:
        lines: whether what is said may name files and lines of the submission.
        found: what was found out before about changes of formulas.
    """
    yield find_structure
    yield lambda failure, submission: find_misspelt(failure, submission, lines)
    below: Collection[str] = ()
    if importlib.util.find_spec(f"{__package__}.algorithms"):
        from .algorithms import find_algorithm
        from .hypotheses.wrong_formula import WrongFormula

        wrong_formula = WrongFormula(found)
        below = wrong_formula.below
        yield from (find_algorithm, wrong_formula)
    # Where what a formula is made of explains a failure, its own problems say in which line.
    yield lambda failure, submission: None if failure.test in below else locate(failure, submission, lines)
