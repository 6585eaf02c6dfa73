"""Run tests against a submission: starts the examiners, follows their events, and makes sure that nothing is lost.

Imports neither torch nor pytest, so that progress is on the screen before they are loaded. Whatever happens to an
examiner or to the submission, every planned test ends with exactly one outcome.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import queue
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from ..diagnosis.known_bugs import load_known_bugs
from ..errors import Failed, Refused
from ..kit.paths import TESTS
from ..scoring.outcome import Clue, Explanation, Outcome, PlannedTest, Result, Written
from ..scoring.progress import Progress
from ..scoring.rubric import Problem
from ..submission.files import Files
from ..submission.source_files import share_written
from ..wall.isolation import Isolation
from ..wall.processes import adopt_orphans, end
from ..wall.scratch import Scratch
from ..worker.loader import Layout
from . import child_process

_RESTARTS = 6
_TRIES = 2
"""A test during which an examiner ends is run so many times before it counts as not assessed."""
_WORTH_AN_EXAMINER_S = 6.0
_MOST_JOBS = 4
_MOSTLY_UNWRITTEN = 0.5
"""Where less is written, each problem is first asked whether anything is. Where more is, the first question that a test
asks is better judged than lost."""


def default_jobs() -> int:
    """As many examiners side by side as there are CPUs, but no more than pay."""
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(_MOST_JOBS, cpus)


@dataclass(frozen=True)
class ExaminationResult:
    """What came of running tests.

    planned and outcomes agree one to one; explanations: {id of a failed test: the known bug behind it};
    clues: {id of a failed test: what else was found out about it};
    uses_seen: {problem: uses of ready-made code that were seen while its tests ran}, as the worker reported them;
    noticed: {problem, or "" while importing: what the submission did that honest code has no reason for};
    for_staff: {problem: free text that a person reads};
    left_out: {problem: why none of its tests can run in this copy of the kit};
    unbegun: {problem: TODO or SKIP} of those of `optional` of which nothing is written: no test of theirs was planned;
    own_adapters: the adapters beyond the public assignment's that the submission defines;
    looked_at: ids of the problems of `below` whose tests ran, too;
    seed: of the fresh cases, or None when there were none;
    load_fault: why the submission could not be imported, or None.
    """

    planned: tuple[PlannedTest, ...]
    outcomes: tuple[Outcome, ...]
    explanations: dict[str, Explanation]
    clues: dict[str, Clue]
    uses_seen: dict[str, list[Any]]
    noticed: dict[str, list[Any]]
    for_staff: dict[str, tuple[Written, ...]]
    left_out: dict[str, str]
    own_adapters: tuple[str, ...]
    looked_at: tuple[str, ...]
    seed: int | None
    load_fault: str | None
    seconds: float
    unbegun: dict[str, Result] = field(default_factory=dict)


def has_tests(problem: Problem) -> bool:
    """Whether this copy of the kit tests the problem."""
    return (TESTS / f"test_{problem.id}.py").is_file()


def run_tests(
    layout: Layout,
    problems: Sequence[Problem],
    *,
    below: Sequence[Problem] = (),
    optional: Sequence[Problem] = (),
    seed: int | None = None,
    isolation: Isolation,
    jobs: int = 1,
    limits: dict[str, float] | None = None,
    lines: bool = True,
    progress: Progress | None = None,
    launch: Launch | None = None,
    begun: Begun | None = None,
    at_first_end: Callable[[], None] | None = None,
) -> ExaminationResult:
    """Run the tests of these problems against a submission.

    Args:
        layout: where the submission is.
        problems: those with tests (`has_tests`).
        below: others, which these build on, directly or not. Where a test of a problem fails, the cause may lie in what
            it builds on; so the tests of that are then run, too.
        optional: those of `problems` whose tests are run only if something of them is written.
        seed: of the fresh cases; drawn after the submission was loaded when None.
        isolation: how strongly to shut the submission in (`isolation.choose`).
        jobs: how many examiners work side by side.
        limits: fields of `Limits` that differ from its defaults.
        lines: whether clues may name files and lines of the submission.
        launch: how to start an examiner, when not as a new Python.
        begun: the first examiner, where that has been started already (`first_examiner`).
        at_first_end: called when one of several examiners is done: from then on a processor has nothing to do.

    Raises:
        Refused: for a fixture that cannot be read and the like.
        Failed: when the tests could not be planned, or a planned test has no outcome.
    """
    start = time.monotonic()
    progress = progress or Progress()
    adopt_orphans()
    scratch = Scratch()
    written = share_written(Files(layout.root), layout.adapters)
    orders = [
        {
            "layout": layout.as_plain(),
            "problems": [{"id": p.id, "call_limit_s": p.call_limit_s} for p in share],
            "below": [{"id": p.id, "call_limit_s": p.call_limit_s} for p in _beneath(share, problems, below)],
            "needs": {p.id: p.needs for p in (*problems, *below)},
            "optional": [p.id for p in share if p in optional],
            "doubtful": [p.id for p in share] if written < _MOSTLY_UNWRITTEN else [],
            "isolation": isolation.as_plain(),
            "start": True,
            "scratch": str(scratch.path),
            "limits": limits or {},
            "lines": lines,
        }
        for share in _shares(problems, jobs, below, written)
    ]
    examiners = [_Examiner(order, launch or _launch) for order in orders]
    if begun is not None:
        examiners[0].process, examiners[0].stderr = begun.process, begun.stderr
    crew = _Crew(examiners, seed, progress, at_first_end)
    try:
        crew.work()
    finally:
        crew.stop()
        end()  # what an examiner that died has left: its worker's processes and files
        scratch.remove()
    planned = tuple(test for examiner in crew.examiners for test in examiner.planned)
    outcomes = {o.id: o for examiner in crew.examiners for o in examiner.outcomes}
    lost = [test.id for test in planned if test.id not in outcomes]
    if lost or len(outcomes) != len(planned):
        raise Failed(f"{len(lost)} of {len(planned)} planned tests have no outcome, the first {lost[:1]}.")
    untested = (
        {p.id for p in problems} - {test.problem for test in planned} - crew.left_out.keys() - crew.unbegun.keys()
    )
    if untested:
        raise Failed(f"no test was planned for {', '.join(sorted(untested))}.")
    order = {problem.id: i for i, problem in enumerate((*problems, *below))}
    planned = tuple(sorted(planned, key=lambda test: order[test.problem]))
    return ExaminationResult(
        planned=planned,
        outcomes=tuple(outcomes[test.id] for test in planned),
        explanations=crew.explanations,
        clues=crew.clues,
        uses_seen=crew.uses_seen,
        noticed=crew.noticed,
        for_staff=_for_staff(planned, crew.for_staff),
        left_out=crew.left_out,
        own_adapters=crew.own_adapters,
        looked_at=tuple(problem.id for problem in below if problem.id in crew.looked_at),
        seed=crew.seed if crew.fresh else None,
        load_fault=crew.load_fault,
        seconds=time.monotonic() - start,
        unbegun=crew.unbegun,
    )


def _for_staff(
    planned: Sequence[PlannedTest], passed_on: Mapping[str, Sequence[Written]]
) -> dict[str, tuple[Written, ...]]:
    """{problem: what its tests passed on}, in the order of the tests rather than in that in which they ran."""
    texts: dict[str, dict[Written, None]] = {}
    for test in planned:
        texts.setdefault(test.problem, {}).update(dict.fromkeys(passed_on.get(test.id, ())))
    return {problem: tuple(written) for problem, written in texts.items()}


def _shares(
    problems: Sequence[Problem], jobs: int, below: Sequence[Problem] = (), written: float = 1.0
) -> list[list[Problem]]:
    """Deal problems out to at most `jobs` examiners, so that each has about as much to do.

    Where a bug of one problem may show in another, the same examiner must see both; so it is with two that build on
    the same one of `below`. An examiner that would have less to do than it costs to start one is not sent for: what is
    still to be written, all but the share `written`, takes next to no time.
    """
    beneath = {problem.id: {needed.id for needed in _beneath([problem], problems, below)} for problem in problems}
    shows_in = {(bug.problem, other) for bug in load_known_bugs() for other in bug.evidence}
    groups: list[list[Problem]] = []
    for problem in problems:
        apart = [
            group
            for group in groups
            if not any(_linked(problem, other, shows_in) or beneath[problem.id] & beneath[other.id] for other in group)
        ]
        together = [p for group in groups if group not in apart for p in group]
        groups = [*apart, [*together, problem]]
    worth = round(written * _seconds(problems) / _WORTH_AN_EXAMINER_S)
    shares: list[list[Problem]] = [[] for _ in range(max(1, min(jobs, worth, len(groups))))]
    for group in sorted(groups, key=_seconds, reverse=True):
        min(shares, key=_seconds).extend(group)
    position = {problem.id: i for i, problem in enumerate(problems)}
    return [sorted(share, key=lambda p: position[p.id]) for share in shares if share]


def _beneath(share: Sequence[Problem], problems: Sequence[Problem], below: Sequence[Problem]) -> list[Problem]:
    """Those of `below` that the problems of a share build on, directly or by way of others."""
    needed = {name for problem in share for name in problem.needs}
    while more := {name for p in (*problems, *below) if p.id in needed for name in p.needs} - needed:
        needed |= more
    return [problem for problem in below if problem.id in needed]


def _linked(one: Problem, other: Problem, shows_in: set[tuple[str, str]]) -> bool:
    return not shows_in.isdisjoint({(one.id, other.id), (other.id, one.id)})


def _seconds(problems: Sequence[Problem]) -> float:
    return sum(problem.seconds for problem in problems)


Launch = Callable[[IO[bytes]], child_process.ChildProcess]
"""Starts an examiner; the argument is where it complains."""


def _launch(stderr: IO[bytes]) -> child_process.ChildProcess:
    return child_process.start("grader.examination.examiner", stderr)


@dataclass(frozen=True)
class Begun:
    """An examiner that has been started, and imports what it needs until its order comes."""

    process: child_process.ChildProcess
    stderr: IO[bytes]


@contextlib.contextmanager
def first_examiner() -> Iterator[Begun]:
    """Start an examiner while it is still to be found out what it shall examine; it ends with the enclosed lines."""
    with tempfile.TemporaryFile() as stderr:
        begun = Begun(_launch(stderr), stderr)
        try:
            yield begun
        finally:
            child_process.end(begun.process)


@dataclass
class _Examiner:
    """One examiner process and what it has reported so far."""

    order: dict[str, Any]
    launch: Launch
    process: child_process.ChildProcess | None = None
    planned: list[PlannedTest] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    running: str | None = None
    done: bool = False
    starts: int = 0
    deaths: collections.Counter[str] = field(default_factory=collections.Counter)
    stderr: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def start(self) -> IO[str]:
        """Start the process, unless it has begun, and give it its order; gives the stream of its events."""
        self.starts += 1
        if self.process is None:
            self.process = self.launch(self.stderr)
        self.tell({**self.order, "finished": [outcome.id for outcome in self.outcomes]})
        assert self.process.stdout is not None
        return self.process.stdout

    def look_at(self, problems: Sequence[str]) -> None:
        """Take note of problems that are examined, too: should this examiner die, another goes on with them."""
        further = [problem for problem in self.order["below"] if problem["id"] in problems]
        rest = [problem for problem in self.order["below"] if problem not in further]
        self.order = {**self.order, "problems": [*self.order["problems"], *further], "below": rest}

    def tell(self, message: dict[str, Any]) -> None:
        assert self.process is not None
        child_process.tell(self.process, message)

    def stop(self) -> None:
        if self.process is not None:
            child_process.end(self.process)
            self.process = None


class _Crew:
    """All examiners of one run, followed until each is done."""

    def __init__(
        self, examiners: list[_Examiner], seed: int | None, progress: Progress, at_first_end: Callable[[], None] | None
    ) -> None:
        self.examiners = examiners
        self.seed = seed
        self.fresh = False
        self.load_fault: str | None = None
        self.explanations: dict[str, Explanation] = {}
        self.clues: dict[str, Clue] = {}
        self.uses_seen: dict[str, list[Any]] = {}
        self.noticed: dict[str, list[Any]] = {}
        self.for_staff: dict[str, list[Written]] = {}
        self.left_out: dict[str, str] = {}
        self.unbegun: dict[str, Result] = {}
        self.own_adapters: tuple[str, ...] = ()
        self.looked_at: set[str] = set()
        self._progress = progress
        self._at_first_end = at_first_end
        self._at_work = 0
        self._lines: queue.SimpleQueue[tuple[_Examiner, str | None]] = queue.SimpleQueue()

    def work(self) -> None:
        for examiner in self.examiners:
            self._start(examiner)
        while self._at_work:
            examiner, line = self._lines.get()
            if line is None:
                self._at_work -= 1
                self._ended(examiner)
            else:
                self._handle(examiner, json.loads(line))

    def stop(self) -> None:
        for examiner in self.examiners:
            examiner.stop()
            examiner.stderr.close()

    def _start(self, examiner: _Examiner) -> None:
        stream = examiner.start()
        self._at_work += 1

        def listen() -> None:
            for line in stream:
                self._lines.put((examiner, line))
            self._lines.put((examiner, None))

        threading.Thread(target=listen, daemon=True).start()

    def _handle(self, examiner: _Examiner, event: dict[str, Any]) -> None:
        match event["event"]:
            case "loaded":
                self.fresh = event["fresh"]
                self.own_adapters = tuple(event["own_adapters"])
                if event["fault"]:
                    self.load_fault = event["fault"]["message"]
                if self.seed is None and self.fresh:
                    self.seed = secrets.randbits(48)
                examiner.tell({"seed": self.seed})
            case "unbegun":
                self.unbegun |= {problem: Result(result) for problem, result in event["problems"].items()}
            case "planned":
                self.left_out |= event["left_out"]
                known = {test.id for test in examiner.planned}
                new = [test for test in map(PlannedTest.from_plain, event["tests"]) if test.id not in known]
                examiner.planned += new
                self._progress.planned(len(new))
            case "looked_at":
                self.looked_at.update(event["problems"])
                examiner.look_at(event["problems"])
            case "started":
                examiner.running = event["id"]
                self._progress.started(event["id"])
            case "finished":
                self._finish(examiner, Outcome.from_plain(event["outcome"]))
            case "uses_seen":
                self.uses_seen.setdefault(event["problem"], []).extend(event["uses"])
            case "noticed":
                self.noticed.setdefault(event["problem"], []).extend(event["remarks"])
            case "for_staff":
                self.for_staff[event["id"]] = [Written(**text) for text in event["texts"]]
            case "explained":
                self.explanations |= {test: Explanation(**fields) for test, fields in event["tests"].items()}
            case "clues":
                self.clues |= {test: Clue.from_plain(fields) for test, fields in event["tests"].items()}
            case "refused":
                raise Refused(event["message"])
            case "failed":
                raise Failed(event["message"])
            case "done":
                examiner.done = True

    def _finish(self, examiner: _Examiner, outcome: Outcome) -> None:
        examiner.running = None
        examiner.outcomes.append(outcome)
        self._progress.finished(outcome)

    def _ended(self, examiner: _Examiner) -> None:
        """An examiner's events have ended: done, or dead and to be replaced.

        What ended it is the grader's misfortune (memory that ran out, somebody's kill), so the test that ran is run
        again; if it ends a second one, nothing is known about it, for or against the submission.
        """
        examiner.stop()
        if examiner.done and len(examiner.outcomes) == len(examiner.planned):
            if self._at_first_end is not None and self._at_work == len(self.examiners) - 1 > 0:
                self._at_first_end()
            return
        if not examiner.planned and (examiner.done or examiner.starts >= _TRIES):
            raise Failed(f"the tests could not be planned.\n{child_process.last_words(examiner.stderr)}")
        if (test := examiner.running) is not None:
            examiner.running = None
            examiner.deaths[test] += 1
            if examiner.deaths[test] >= _TRIES:
                self._give_up(examiner, test, "the grader's own test process ended each time when this test ran")
        if examiner.starts > _RESTARTS:
            finished = {outcome.id for outcome in examiner.outcomes}
            for plan in examiner.planned:
                if plan.id not in finished:
                    self._give_up(examiner, plan.id, f"the grader's own test process ended {examiner.starts} times")
        if not examiner.planned or len(examiner.outcomes) < len(examiner.planned):
            self._start(examiner)

    def _give_up(self, examiner: _Examiner, test: str, why: str) -> None:
        """A test that cannot be assessed, through no fault of the submission's."""
        words = child_process.last_words(examiner.stderr)
        message = f"{why}, which says nothing about your code. Is there enough memory? Grade again."
        self._finish(examiner, Outcome(test, Result.ABSENT, message, words))
