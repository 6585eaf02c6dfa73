"""Where clues come from: every source that `clues.find_clues` asks, in the order in which their sentences are read."""

from __future__ import annotations

from .algorithms import find_algorithm
from .clues import Source
from .hypotheses.wrong_formula import wrong_formula
from .structure import find_structure
from .tracing import locate

SOURCES: tuple[Source, ...] = (find_structure, find_algorithm, wrong_formula, locate)
