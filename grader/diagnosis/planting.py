"""Known bugs planted into the reference, where the code of both is at hand: with staff. Students have the evidence."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..misconceptions.catalogue import Variant


def has_catalogue() -> bool:
    """Whether the misconceptions themselves are here."""
    return importlib.util.find_spec("grader.misconceptions") is not None


def can_be_together(bugs: Sequence[Variant]) -> bool:
    """Whether one program can have all of these bugs, none hiding another."""
    from ..misconceptions.together import Exclusive, together

    try:
        together(bugs)
    except Exclusive:
        return False
    return True


@contextlib.contextmanager
def planted(bugs: Iterable[Variant]) -> Iterator[None]:
    """The reference with all of these bugs, for as long as the block lasts.

    Two that no one program can have at once hide each other: then the later one shows.
    """
    from ..misconceptions.together import Exclusive, together

    bugs = list(bugs)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(Exclusive):
            bugs = [together(bugs)] if len(bugs) > 1 else bugs
        for bug in bugs:
            stack.enter_context(bug.planted())
        yield
