"""What one examiner does with its order: plan, run and report the tests of some problems, as a pytest plugin.

Events that it sends: `loaded` (the submission was imported, or why not), then after the seed has come back on stdin
`unbegun` (the optional problems of which nothing is written, whose tests do not run), `planned` (every test that will
run), `started` and `finished` for each of them, `looked_at` (further problems, which one that failed builds on: their
tests follow, planned in the same way), `uses_seen` (ready-made code that ran), `noticed` (what honest code has no
reason for), `for_staff` (free text that a person reads), `explained` (the known bugs behind failed tests), `clues`
(what else was found out about them) and `done`. `refused` and `failed` end the run with a sentence for the person who
started it, the latter when the kit is at fault.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import json
import random
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401  which tests/conftest.py needs: to be imported while the worker imports what it needs
import pytest
import torch

from ..cases.assets import FixtureError
from ..cases.case import Case, Oracle
from ..cases.store import asks_for_cases, has_generators, stored_cases
from ..diagnosis.attribution import Attribution
from ..escape import visible
from ..kit.paths import TESTS
from ..rules.from_scratch import worth_keeping
from ..scoring.outcome import Outcome, PlannedTest, Result, Tier
from ..submission.faults import AdapterMissing, Fault, NothingToAssess, NotRun, Todo
from ..submission.files import Files
from ..submission.interface import Submission, UnknownOperation
from ..wall.isolation import Isolation, Level
from ..wall.repeated_calls import Crosscheck
from ..wall.walled import WalledSubmission
from ..wall.worker_start import Limits, StartedWorker
from ..worker.lean_optimizers import keep_compiler_away
from ..worker.loader import Layout
from ..worker.operation_table import OWN_ADAPTERS, adapters_of
from .child_process import Events
from .judging import case_of, claim_of, id_of, outcome_of, plan, question_of, tier_of
from .pytest_plugin import (
    FOR_STAFF,
    FRESH,
    ORACLE,
    PYTEST_OPTIONS,
    SUBMISSION,
    UNWRITTEN,
    NothingToTest,
    draw_no_tracebacks,
    problem_of,
)

_LOST_CLAIMS_PER_PROBLEM = 3
"""After so many claims that took too long, or that ended the process, the rest of a problem's tests are not run: each
would cost its time limit, or a new worker. Core claims come first, so that none is lost to what edge claims do."""

_CALLS_PER_PROBLEM = 8
"""All tests of a problem together may take as long as so many of the longest calls; whoever dawdles does it briefly."""

_FAILURES = (Result.FAIL, Result.ERROR, Result.TIMEOUT, Result.CRASH)
_USES_PER_PROBLEM = 50
_REMARKS_PER_TEST = 5


class NotCollected(Exception):
    """Tests of the kit's own that cannot be planned: nobody may get points for what is left of them."""


class Examination:
    """A pytest plugin that plans, runs and reports the tests of some problems."""

    def __init__(
        self,
        events: Events,
        limits_s: dict[str, float],
        finished: set[str],
        attribution: Attribution,
    ) -> None:
        self.seed: int | None = None
        self.events = events
        self.limits_s = limits_s
        self.finished = finished
        self.attribution = attribution
        self.submission: Submission
        self.has_reference = False
        self._problem = ""
        self._uses_seen: dict[str, list[Any]] = {}
        self._lost: dict[tuple[str, Result], set[str]] = collections.defaultdict(set)
        self._spent_s: collections.defaultdict[str, float] = collections.defaultdict(float)
        self._charged_s = 0.0
        self._outcome: Outcome | None = None
        self.mistake: UnknownOperation | NotCollected | FixtureError | None = None
        """One of the kit's own, which no outcome may come of."""
        self.asked: list[str] = []
        """The problems whose tests run next."""
        self.troubled: set[str] = set()
        """Problems of which a test failed, or ran ready-made code: what they build on may be the cause."""
        self.unwritten: Mapping[str, Todo] = {}
        """{problem: what its cases met}, where all of them ask for what is still to be written. Nothing more is asked
        of these cases, and no others are drawn: who says at first that nothing is written answers no case later."""
        self._begun: set[str] = set()
        """Problems of which something is written: a test of theirs came to anything but todo."""
        self._todo: dict[tuple[str, ...], Todo] = {}
        """{question: what it met}, for those whose first test met code that is still to be written."""

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[UNWRITTEN] = self.unwritten

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Of the folder of tests those that are asked for: given one by one, it would be looked through for each."""
        return (collection_path != TESTS and problem_of(collection_path) not in self.asked) or None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.mistake = NotCollected(f"{report.nodeid} cannot be collected: {report.longreprtext}")
            raise pytest.UsageError(str(self.mistake))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.attribution.plan(map(id_of, items))
        self.events.send("planned", tests=[plan(item).as_plain() for item in items], left_out=self._left_out(items))
        items[:] = self._shuffled([item for item in items if id_of(item) not in self.finished])

    def _shuffled(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """The items of each problem: core claims first; among those of a tier one for each question, then the others,
        both in an order that a submission cannot foresee, the same whatever else is tested."""
        position = {problem: place for place, problem in enumerate(self.asked)}
        chance = {item: float(place) for place, item in enumerate(items)}
        if self.seed is not None:
            chance = {item: random.Random(f"{self.seed} {id_of(item)}").random() for item in items}
        first: dict[tuple[str, ...], pytest.Item] = {}
        for item in sorted(items, key=chance.__getitem__):
            first.setdefault(question_of(item), item)
        weight = list(Tier)

        def place(item: pytest.Item) -> tuple[int, int, bool, float]:
            is_first = first[question_of(item)] is item
            return position[problem_of(item.path)], weight.index(tier_of(item)), not is_first, chance[item]

        return sorted(items, key=place)

    def _left_out(self, items: list[pytest.Item]) -> dict[str, str]:
        """Problems without a test that could run here, each with the reason."""
        if self.has_reference:
            return {}  # an empty test file is a fault of ours, which the runner reports
        planned = {problem_of(item.path) for item in items}
        return {problem: "needs the staff's copy of the kit" for problem in self.asked if problem not in planned}

    def pytest_runtest_logstart(self) -> None:
        self._outcome = None

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.events.send("started", id=id_of(item))
        self.submission.begin_transcript()
        problem = problem_of(item.path)
        limit = self.limits_s[problem]
        if isinstance(self.submission, WalledSubmission):
            self.submission.call_limit_s = limit
            if problem != self._problem:
                self.submission.end_leftovers()
                if self.submission.crosscheck is not None:
                    self.submission.crosscheck.begin(problem)
        self._problem = problem
        self._charged_s = self._charged()
        if reason := self._why_not_run(problem, claim_of(item), limit):
            raise NotRun(f"not run: {reason}.")
        if (met := self.unwritten.get(problem)) is not None and case_of(item) is not None:
            raise Todo(met.message, met.detail)
        if (met := self._todo.get(question_of(item))) is not None and problem not in self._begun:
            raise Todo(met.message, met.detail)

    def _why_not_run(self, problem: str, claim: str, limit_s: float) -> str:
        """Why a test is not begun: what its claim, or the problem's tests before it, have cost; "" if it is."""
        did = {
            Result.TIMEOUT: f"took longer than {limit_s:g} s",
            Result.CRASH: "ended the process",
        }
        for result, words in did.items():
            lost = self._lost[problem, result]
            if claim in lost:
                return f"another case of this claim {words}, and a claim holds for all of its cases or not at all"
            if len(lost) >= _LOST_CLAIMS_PER_PROBLEM:
                return f"{len(lost)} claims of {problem} had already failed, because a call {words}"
        if self._spent_s[problem] > _CALLS_PER_PROBLEM * limit_s:
            return f"the tests of {problem} before this one took {self._spent_s[problem]:.0f} s"
        return ""

    def _charged(self) -> float:
        """Seconds that the calls of the submission were charged so far."""
        return self.submission.charged_s if isinstance(self.submission, WalledSubmission) else 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "call":
            behind = isinstance(self.submission, WalledSubmission)
            self._spent_s[problem_of(item.path)] += self._charged() - self._charged_s if behind else call.duration
        self._follow_begun(item, call)
        if call.excinfo is not None and (self._outcome is None or self._outcome.result is Result.PASS):
            if isinstance(call.excinfo.value, UnknownOperation | FixtureError):
                self.mistake = call.excinfo.value
                item.session.shouldstop = str(self.mistake)
            self._outcome = outcome_of(item, call)
            self._lost[problem_of(item.path), self._outcome.result].add(claim_of(item))
        elif call.when == "call" and self._outcome is None:
            self._outcome = outcome_of(item, call)
        if call.when == "teardown" and self._outcome is not None:
            self.attribution.follow(problem_of(item.path), self._outcome, case_of(item), self.submission)
            if self._outcome.result in _FAILURES and tier_of(item) is not Tier.ADVICE:
                self.troubled.add(problem_of(item.path))
            self._send_uses_seen(problem_of(item.path))
            self.send_noticed(problem_of(item.path))
            if texts := item.stash.get(FOR_STAFF, []):
                plain = [text.as_plain() for text in texts]
                self.events.send("for_staff", id=id_of(item), texts=plain)
            self.events.send_soon("finished", outcome=self._outcome.as_plain())
        return report

    def _follow_begun(self, item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
        """Learn whether anything of a problem is written.

        If every question of its core claims, asked once, met code that is still to be written, so would the same
        questions about other inputs. They earn nothing as it is: a claim holds for all of its cases or not at all.
        """
        met = call.excinfo.value if call.excinfo is not None else None
        fault = met.fault if isinstance(met, NothingToTest) else met
        if isinstance(fault, Todo):
            self._todo.setdefault(question_of(item), fault)
        elif not isinstance(fault, (AdapterMissing, NothingToAssess, NotRun)) and (fault or call.when == "call"):
            self._begun.add(problem_of(item.path))

    def _send_uses_seen(self, problem: str) -> None:
        """Pass on what the worker saw of ready-made code, each use once per problem."""
        known = self._uses_seen.setdefault(problem, [])
        new = worth_keeping(problem, self.submission.uses_seen, known, _USES_PER_PROBLEM)
        self.submission.uses_seen.clear()
        if new:
            self.troubled.add(problem)
            known += new
            self.events.send("uses_seen", problem=problem, uses=new)

    def send_noticed(self, problem: str) -> None:
        """Pass on what the submission did beside answering; `problem` is "" while it is imported."""
        if new := self.submission.noticed[:_REMARKS_PER_TEST]:
            self.events.send("noticed", problem=problem, remarks=new)
        self.submission.noticed.clear()


def planned_tests(problems: Sequence[str]) -> list[PlannedTest]:
    """Every test of these problems on stored cases, without running any."""
    planned: list[PlannedTest] = []

    class Planning:
        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            planned.extend(map(plan, items))
            items.clear()

    pytest.main([*PYTEST_OPTIONS, *(str(TESTS / f"test_{name}.py") for name in problems)], plugins=[Planning()])
    return planned


def carry_out(order: dict[str, Any], started: StartedWorker | None, events: Events) -> int:
    """Carry out an order; returns the exit code.

    Args:
        started: the submission's worker, where it was started already.
    """
    torch.set_num_threads(1)  # as in the worker: the tests' calls are small
    keep_compiler_away()
    with contextlib.ExitStack() as open_ones:
        submission = open_ones.enter_context(_walled(order, started)) if started else None
        if "problems" not in order:
            order = _rest_of(order, submission)
        return _carry_out(order, submission or open_ones.enter_context(_opened(order)), events)


def _rest_of(place: dict[str, Any], submission: WalledSubmission | None) -> dict[str, Any]:
    """The order that follows one that says only where the submission is.

    Between them its worker starts, and has everything imported but the submission (`spare.py`).
    """
    if submission is not None:
        submission.start()
    order = json.loads(sys.stdin.readline())
    if any(order[key] != place[key] for key in ("layout", "isolation", "limits")):
        raise ValueError("the order is for another place than this examiner was started for")
    return order


def _carry_out(order: dict[str, Any], submission: Submission, events: Events) -> int:
    limits_s = {problem["id"]: problem["call_limit_s"] for problem in order["problems"]}
    needs = {problem: tuple(needed) for problem, needed in order["needs"].items()}
    attribution = Attribution(needs, order["lines"])
    examination = Examination(events, limits_s, set(order["finished"]), attribution)
    examination.submission = submission
    oracle = _reference() if has_generators() else None  # first, as the worker may still be on its way up
    fault = _load(submission)
    examination.has_reference = oracle is not None
    events.send("loaded", fault=fault, fresh=oracle is not None, own_adapters=submission.own_adapters)
    examination.send_noticed("")
    seed = examination.seed = json.loads(sys.stdin.readline())["seed"]
    if isinstance(submission, WalledSubmission) and seed is not None:
        submission.crosscheck = Crosscheck(seed)
    session = _Session(submission, oracle, seed)
    gc.freeze()  # what was imported stays; collections need not go through it again and again
    try:
        unbegun = {} if fault else _unbegun(order["optional"], examination)
        events.send("unbegun", problems=unbegun)
        if not fault:
            asked = [problem for problem in order["doubtful"] if problem not in unbegun]
            examination.unwritten = _unwritten(asked, examination)
        code = _examine([problem for problem in limits_s if problem not in unbegun], examination, session)
        causes = set() if fault else _below(examination.troubled, needs)
        if further := {p["id"]: p["call_limit_s"] for p in order["below"] if p["id"] in causes}:
            events.send("looked_at", problems=list(further))
            examination.limits_s = limits_s | further
            code = max(code, _examine(further, examination, session))
    except FixtureError as error:
        events.send("refused", message=str(error))
        return 2
    except (UnknownOperation, NotCollected) as error:
        events.send("failed", message=f"A test of the kit's own is wrong. {error}")
        return 3
    gc.freeze()  # nor through what the tests have left
    explained = attribution.explain()
    clues = attribution.find_clues(explained, submission)
    events.send("explained", tests={test: asdict(explanation) for test, explanation in explained.items()})
    events.send("clues", tests={test: clue.legible().as_plain() for test, clue in clues.items()})
    events.send("done", exit_code=code)
    return 0


def _examine(problems: Iterable[str], examination: Examination, session: _Session) -> int:
    """Run the tests of these problems; gives pytest's exit code.

    Raises:
        FixtureError: stored cases are missing or damaged, or the reference gives no answer to one.
        UnknownOperation: a test asks for something that is no operation.
        NotCollected: the tests cannot be planned.
    """
    examination.asked = list(problems)
    if not examination.asked:
        return 0
    for problem in filter(asks_for_cases, examination.asked):
        _stored(problem)
    code = int(pytest.main([*PYTEST_OPTIONS, str(TESTS)], plugins=[examination, session]))
    examination.events.flush()
    if examination.mistake is not None:
        raise examination.mistake
    return code


@functools.cache
def _stored(problem: str) -> list[Case]:
    """A problem's stored cases, to be looked at and asked behind the wall only."""
    return stored_cases(problem)


def _unbegun(problems: Iterable[str], examination: Examination) -> dict[str, Result]:
    """Those of these problems of which nothing is written: {problem: TODO, or SKIP where it is not provided}.

    What is written in part has tests that run as always.
    """
    found = {problem: _why_unbegun(problem, examination) for problem in problems}
    return {problem: result for problem, result in found.items() if result is not None}


def _why_unbegun(problem: str, examination: Examination) -> Result | None:
    submission = examination.submission
    if OWN_ADAPTERS.issuperset(adapters_of(problem)) and not set(adapters_of(problem)) & set(submission.own_adapters):
        return Result.SKIP
    results = {fault.result for fault in _met_by_cases(problem, examination)}
    return Result.TODO if Result.TODO in results else Result.SKIP if results else None


def _unwritten(problems: Iterable[str], examination: Examination) -> dict[str, Todo]:
    """Those of these problems whose cases all ask for what is still to be written, with what one of them met."""
    met = {problem: _met_by_cases(problem, examination) for problem in problems}
    todo = {problem: [fault for fault in faults if isinstance(fault, Todo)] for problem, faults in met.items()}
    return {problem: faults[0] for problem, faults in todo.items() if faults and len(faults) == len(met[problem])}


def _met_by_cases(problem: str, examination: Examination) -> list[Todo | AdapterMissing]:
    """What one call for each group of a problem's cases meets; nothing where one of them comes to anything else."""
    submission = examination.submission
    if not asks_for_cases(problem):
        return []
    if isinstance(submission, WalledSubmission):
        submission.call_limit_s = examination.limits_s[problem]
    groups: dict[tuple[str, ...], Case] = {}
    for case in _stored(problem):
        groups.setdefault((case.operation, case.group, *case.about), case)
    met: list[Todo | AdapterMissing] = []
    for case in groups.values():
        lack = submission.ask_ahead(case.operation, case.inputs)
        examination.send_noticed(problem)
        if lack is None:  # whatever came of it, its test will say
            return []
        met.append(lack)
    return met


def _below(problems: Iterable[str], needs: Mapping[str, tuple[str, ...]]) -> set[str]:
    """What these problems build on, directly or not."""
    direct = {needed for problem in problems for needed in needs.get(problem, ())}
    return direct | (_below(direct, needs) if direct else set())


class _Session:
    """Puts the submission under test, and what fresh cases need, where the fixtures look for them."""

    def __init__(self, submission: Submission, oracle: Oracle | None, seed: int | None) -> None:
        self.submission, self.oracle, self.seed = submission, oracle, seed

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[SUBMISSION] = self.submission
        draw_no_tracebacks(config)
        if self.oracle is not None:
            config.stash[ORACLE] = self.oracle
            if self.seed is not None:
                config.stash[FRESH] = (self.seed, self.oracle)


def _walled(place: dict[str, Any], started: StartedWorker | None = None) -> WalledSubmission:
    layout, isolation = Layout.from_plain(place["layout"]), Isolation.from_plain(place["isolation"])
    return WalledSubmission(layout, Limits(**place["limits"]), isolation, Path(place["scratch"]), started=started)


@contextlib.contextmanager
def _opened(order: dict[str, Any]) -> Generator[Submission, None, None]:
    """A submission whose worker was not started ahead, or that runs in this process: it is imported at once."""
    if Isolation.from_plain(order["isolation"]).level is Level.NONE:
        from ..submission.in_process import open_in_process
        from ..worker.usage_monitor import UsageMonitor

        layout = Layout.from_plain(order["layout"])
        yield open_in_process(layout, UsageMonitor(layout.root), Files(layout.root))
        return
    with _walled(order) as submission:
        yield submission


def _load(submission: Submission) -> dict[str, str] | None:
    """Import the submission; what went wrong, or None."""
    if not isinstance(submission, WalledSubmission):
        return None
    try:
        submission.load()
    except NothingToAssess as lack:
        sentence = f"Nothing of this submission could be assessed ({lack.message})."
        return {"message": visible(sentence), "detail": visible(lack.detail)}
    except Fault as fault:
        return {"message": visible(fault.message), "detail": visible(fault.detail)}
    return None


def _reference() -> Oracle:
    """The staff solution gives the expected outputs of fresh cases; a student's copy of the kit has none."""
    from ..cases.generators import reference_oracle

    return reference_oracle()
