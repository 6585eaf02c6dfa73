"""Who wants to know how far a grade is."""

from __future__ import annotations

from .outcome import Outcome


class Progress:
    """What a run tells whoever watches it; every method may be overridden, none has to be."""

    def planned(self, tests: int) -> None:
        """So many more tests will run."""

    def started(self, test_id: str) -> None:
        """A test begins."""

    def finished(self, outcome: Outcome) -> None:
        """A test has its outcome."""
