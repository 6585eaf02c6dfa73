"""Grade one submission, in a process of its own: `python -m grader.staff.unit`.

Its order is one line of JSON on standard input. It writes the report, and last the state, which says that the report is
whole. So it can be ended at any moment, and begun again as often as one likes. Standard input stays open as long as
whoever gave the order lives; when that ends, so does this.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import Failed, Refused
from ..escape import visible
from .grade_state import PAGE, REPORT, Grade, GradeState, summary_of, write_grade
from .kept_scores import with_kept_scores

_MESSAGE = 2000  # characters


@dataclass(frozen=True)
class Options:
    """How submissions are graded: as options of the command line, and of `grading.grade`."""

    problems: tuple[str, ...] = ()
    section: str | None = None
    seed: int | None = None
    isolation: str = "auto"
    environment: str = "kit"
    gpu: bool | None = False
    edition: str | None = None
    course: str | None = None


@dataclass(frozen=True)
class Order:
    """What to grade, how, and where to leave what comes of it.

    source: folder or archive; target: the folder for reports; asked: see `Grade`.
    """

    id: str
    source: str
    target: str
    asked: str
    options: Options

    @classmethod
    def from_json(cls, text: str) -> Order:
        table: dict[str, Any] = json.loads(text)
        options = table.pop("options")
        return cls(**table, options=Options(**{**options, "problems": tuple(options["problems"])}))

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def grade_one(order: Order) -> Grade:
    """Grade it and write what comes of it; gives what was written as its state.

    Raises:
        OSError: reports cannot be written there, as on a full disk.
    """
    from ..grading import grade
    from ..report.html import write_html
    from ..report.output import write_json
    from ..report.stored import report_from_json
    from ..scoring.rubric import load_rubric

    start, target, how = time.monotonic(), Path(order.target), order.options
    target.mkdir(parents=True, exist_ok=True)
    try:
        rubric = load_rubric(edition=how.edition, course=Path(how.course) if how.course else None)
        report = grade(
            order.source,
            rubric,
            rubric.select(how.problems, how.section),
            seed=how.seed,
            isolation=how.isolation,
            environment=how.environment,
            jobs=1,
            gpu=how.gpu,
        )
    except Refused as error:
        return _leave(Grade(GradeState.REFUSED, visible(str(error))[:_MESSAGE], order.asked, _since(start)), target)
    except Failed as error:
        return _leave(Grade(GradeState.FAILED, visible(str(error))[:_MESSAGE], order.asked, _since(start)), target)
    tested = report.as_json()
    table, outdated = with_kept_scores(tested, target)
    write_json(table, target / REPORT)
    write_html(report if table == tested else report_from_json(table, rubric, report.folder), target / PAGE)
    return _leave(Grade(GradeState.GRADED, "", order.asked, _since(start), summary_of(table, outdated)), target)


def _leave(grade: Grade, target: Path) -> Grade:
    write_grade(grade, target)
    return grade


def _since(start: float) -> float:
    return round(time.monotonic() - start, 2)


def follow_whoever_asked() -> None:
    """From now on, end as SIGTERM would when standard input does: what this has started and made is cleared away."""

    def wait() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def ended_in_words(work: Callable[[], object], unwritten: Callable[[OSError], str]) -> int:
    """Do a unit's work; gives the exit code, and where that is not 0, standard error ends with a line on why.

    Args:
        unwritten: that line where something cannot be read or written.
    """
    from .. import streams
    from ..signals import Ended, obeyed

    try:
        with obeyed():
            work()
    except OSError as error:
        streams.complain(unwritten(error))
        return 3
    except Ended as ended:
        streams.complain(f"ended by {ended.name}.")
        return ended.exit_code
    except Exception as error:
        streams.complain(f"the grader itself failed: {type(error).__name__}: {error}")
        return 3
    return 0


def main() -> int:
    """Returns 0 when the state was written, whatever it is; the last line on standard error says why not."""
    from .. import streams

    streams.prepare()
    order = Order.from_json(sys.stdin.readline())

    def work() -> None:
        follow_whoever_asked()
        grade_one(order)

    return ended_in_words(
        work, lambda error: f"the report cannot be written to {order.target}: {error.strerror or error}."
    )


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # a thread still reads standard input, which Python would wait for
