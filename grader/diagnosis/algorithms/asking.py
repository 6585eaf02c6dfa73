"""Asking a submission a few more small questions, for the sake of an explanation only.

Nothing of what is asked here may cost the student anything, nor take long: a call that fails in any way has no answer,
and after the first that took too long nothing more is asked.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ...submission.faults import CallTimeout, WorkerCrash
from ...submission.interface import Submission
from ..time_limit import Work

CALL_S = 2.0
"""So long may one call take."""
ALL_S = 3.0
"""So long may all calls take that are made for one kind of failure."""

Value = TypeVar("Value")
_remembered: weakref.WeakKeyDictionary[Submission, dict[str, Any]] = weakref.WeakKeyDictionary()


class NoAnswer:
    """What `Asker` gives where there is no value: nothing equals it."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


NONE = NoAnswer()


class Asker:
    """Asks one submission, as long as time is left."""

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self._left_s = ALL_S

    def perform(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        """The value of one operation, or `NONE`."""
        return self(lambda submission: submission.perform(operation, dict(arguments)))

    def __call__(self, ask: Callable[[Submission], Any]) -> Any:
        """What `ask(submission)` gives, or `NONE`."""
        if self._left_s <= 0:
            return NONE
        start = time.monotonic()
        try:
            with in_passing(self.submission):
                return ask(self.submission)
        except (CallTimeout, WorkerCrash):
            self._left_s = 0.0
            return NONE
        except Exception:  # of whatever kind: the code has no value for this question
            return NONE
        finally:
            self._left_s -= time.monotonic() - start


@contextlib.contextmanager
def in_passing(submission: Submission) -> Iterator[None]:
    """With short calls that are made once and leave no trace in the transcript."""
    inner = vars(submission)
    changed = {"transcript": None, "crosscheck": None, "call_limit_s": CALL_S}
    before = {name: inner[name] for name in changed if name in inner}
    inner.update({name: changed[name] for name in before})
    try:
        yield
    finally:
        inner.update(before)


def tries(submission: Submission, what: str, most: int) -> Work:
    """What one search may try: half of what all searches of this kind may try for one submission."""
    return Work(most, remembered(submission, f"tries of {what}", lambda: Work(2 * most)))


def remembered(submission: Submission, what: str, find: Callable[[], Value]) -> Value:
    """What `find` gives, which for one submission is done once."""
    known = _remembered.setdefault(submission, {})
    if what not in known:
        known[what] = find()
    return known[what]
