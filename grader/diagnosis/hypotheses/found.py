"""What one search for changes of formulas hands on to the next, so that nothing is looked for twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .change import Hypothesis


@dataclass(frozen=True)
class Found:
    """What a search for changes has come to.

    changes: {operation: the changes of its own with which it gives what was seen}, for those that have some; in_vain:
    the operations of which every change was tried, alone and with another one, and none gives even one answer.
    """

    changes: Mapping[str, Hypothesis] = field(default_factory=dict)
    in_vain: frozenset[str] = frozenset()
