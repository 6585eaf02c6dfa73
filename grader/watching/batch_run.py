"""The tests of some problems, run in a thread beside the loop of `watch`, and the events that the loop waits for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import Failed, Refused
from ..examination.spare import Cancelled, Spare
from ..grading import grade
from ..report.model import Report
from ..scoring.outcome import Outcome
from ..scoring.progress import Progress
from ..scoring.rubric import Problem, Rubric

_END_WITHIN_S = 5.0


@dataclass(frozen=True)
class Looked:
    """Something may have been saved; trouble: why nothing can be seen any more, or ""."""

    trouble: str = ""


@dataclass(frozen=True)
class Redraw:
    """The terminal has another size, or is ours again."""


@dataclass(frozen=True)
class Advanced:
    """A test of a run begins."""

    run: BatchRun
    test: str


@dataclass(frozen=True)
class Answered:
    """A run has its report, or a sentence on why there is none; neither where it was cancelled."""

    run: BatchRun
    report: Report | None = None
    trouble: str = ""


Event = Looked | Redraw | Advanced | Answered


class BatchRun(Progress):
    """The tests of some problems, in a thread. It ends with one `Answered`."""

    def __init__(
        self, spare: Spare, named: str, rubric: Rubric, problems: Sequence[Problem], tell: Callable[[Event], None]
    ):
        self.problems = problems
        self.count = 0
        self.done = 0
        self._spare, self._named, self._rubric, self._tell = spare, named, rubric, tell
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        self._spare.cancel()

    def wait(self) -> None:
        self._thread.join(_END_WITHIN_S)

    def planned(self, tests: int) -> None:
        self.count += tests

    def started(self, test_id: str) -> None:
        self._tell(Advanced(self, test_id))

    def finished(self, outcome: Outcome) -> None:
        self.done += 1

    def _follow(self) -> None:
        report, trouble = None, ""
        try:
            report = grade(
                self._named,
                self._rubric,
                self.problems,
                isolation=self._spare.isolation,
                jobs=1,
                progress=self,
                launch=self._spare.launch,
            )
        except Cancelled:
            pass
        except Exception as error:
            trouble = in_a_sentence(error)
        finally:
            with contextlib.suppress(OSError):
                self._spare.close()
        self._tell(Answered(self, report, trouble))


def in_a_sentence(error: Exception) -> str:
    """What kept something from running, and what to do."""
    if isinstance(error, (Refused, Failed)):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"The tests could not run: {error.strerror}{where}. When that is mended, press a or save a file."
    return f"The grader itself failed: {type(error).__name__}: {error}. Press a to try again."
