"""Where clues come from: every source that `clues.find_clues` asks, in the order in which their sentences are read."""

from __future__ import annotations

from .clues import Source
from .tracing import locate

SOURCES: tuple[Source, ...] = (locate,)
