"""What `pytest tests/test_rope.py` says at its end: what the grader says, for the tests that ran.

One block a cause, the simplest failing case first, in place of a traceback for each failing case. Where pytest is
asked for tracebacks (`--tb=...`) or for a debugger (`--pdb`), it does as it always does, and the blocks come after it.
With pytest-xdist every worker explains what it ran, and the process that prints puts that together.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pytest

from ..diagnosis.attribution import Attribution
from ..examination.judging import case_of, outcome_of, plan
from ..examination.pytest_plugin import NothingToTest, problem_of
from ..kit.paths import KIT
from ..scoring.outcome import Clue, Explanation, Outcome, PlannedTest, Result
from ..scoring.rubric import load_rubric
from ..submission.interface import Submission
from .long_tests import LongTests

_NAME = "grader-summary"
_KEY = "grader"


def pytest_configure(config: pytest.Config) -> None:
    """Take part, unless the grader runs these tests: then it says what there is to say."""
    if not (config.pluginmanager.has_plugin("terminal") or hasattr(config, "workerinput")):
        return
    named = config.getoption("submission", None)
    long_tests = LongTests(config)
    summary = Summary(named, config.option.tbstyle != "auto" or config.option.usepdb, long_tests)
    config.pluginmanager.register(long_tests, f"{_NAME}-long-tests")
    config.pluginmanager.register(summary, _NAME)
    if not summary.as_always:
        config.option.tbstyle = "no"
        config.option.reportchars = config.option.reportchars.replace("f", "").replace("F", "").replace("E", "")


class Summary:
    """Follows the tests of one session, and speaks at its end.

    Args:
        named: the folder of the submission, or None where it is the kit's own; as_always: whether pytest shows its own
            tracebacks, too; long_tests: says what takes long.
    """

    def __init__(self, named: str | None, as_always: bool, long_tests: LongTests) -> None:
        self.named = named
        self._long_tests = long_tests
        self.as_always = as_always
        self._planned: dict[str, PlannedTest] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._explained: dict[str, Explanation] = {}
        self._clues: dict[str, Clue] = {}
        self._attribution: Attribution | None = None
        self._submission: Submission | None = None
        self._own_adapters: Sequence[str] = ()

    def pytest_collection_finish(self) -> None:
        """What is imported by now stays: pytest has the collector go through all of torch several times otherwise."""
        gc.freeze()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        self._submission = getattr(item, "funcargs", {}).get("submission", self._submission)
        if self._submission is not None:
            self._submission.begin_transcript()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        error = call.excinfo.value if call.excinfo is not None else None
        skipped = isinstance(error, pytest.skip.Exception) and not isinstance(error, NothingToTest)
        if skipped or (error is None and call.when != "call") or not isinstance(item, pytest.Function):
            return report
        outcome = outcome_of(item, call)
        if call.when == "call" and self._submission is not None:
            problem = problem_of(item.path)
            if self._attribution is None:
                rubric = load_rubric()
                self._attribution = Attribution({p.id: p.needs for p in rubric.problems}, rubric.lines)
            self._attribution.follow(problem, outcome, case_of(item), self._submission)
        setattr(report, _KEY, {"planned": plan(item).as_plain(), "outcome": outcome.as_plain()})
        if report.failed and not self.as_always:
            report.longrepr = "\n".join(filter(None, [plan(item).title, outcome.message, outcome.detail]))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Here, or in a worker of pytest-xdist: what comes from there has gone through JSON."""
        if found := getattr(report, _KEY, None):
            outcome = Outcome.from_plain(found["outcome"])
            known = self._outcomes.get(outcome.id)
            if known is None or known.result is Result.PASS:
                self._planned[outcome.id] = PlannedTest.from_plain(found["planned"])
                self._outcomes[outcome.id] = outcome

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._attribution is None or self._submission is None:
            return
        self._own_adapters = self._submission.own_adapters
        with self._long_tests.saying("looking for what is behind the failures"):
            self._explained = self._attribution.explain()
            self._clues = self._attribution.find_clues(self._explained, self._submission)
        if (output := getattr(session.config, "workeroutput", None)) is not None:
            output[_KEY] = {
                "own_adapters": list(self._own_adapters),
                "explained": {test: asdict(explanation) for test, explanation in self._explained.items()},
                "clues": {test: clue.as_plain() for test, clue in self._clues.items()},
            }

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist has ended."""
        found = getattr(node, "workeroutput", {}).get(_KEY, {"explained": {}, "clues": {}, "own_adapters": ()})
        self._own_adapters = self._own_adapters or found["own_adapters"]
        self._explained |= {test: Explanation(**fields) for test, fields in found["explained"].items()}
        self._clues |= {test: Clue.from_plain(fields) for test, fields in found["clues"].items()}

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not any(outcome.result not in _NO_TROUBLE for outcome in self._outcomes.values()):
            return
        from rich.console import Console

        from ..report.terminal import safely

        with safely(Console()) as page:
            for panel in self._panels():
                page.print(panel)

    def _panels(self) -> Iterator[Any]:
        from ..report.model import build_report
        from ..report.terminal import troubles_panel

        rubric = load_rubric()
        tested = {test.problem for test in self._planned.values()}
        problems = [problem for problem in rubric.problems if problem.id in tested]
        known = [test for problem in problems for test, plan in self._planned.items() if plan.problem == problem.id]
        report = build_report(
            self.named or ".",
            rubric,
            problems,
            [self._planned[test] for test in known],
            [self._outcomes[test] for test in known],
            self._explained,
            clues=self._clues,
            policy={},
            seed=None,
            isolation={},
            environment={},
            own_adapters=self._own_adapters,
            folder=self.named or str(KIT),
        )
        for problem in report.most_urgent_first:
            if problem.troubles:
                yield troubles_panel(problem, report, problem.problem.id)
        for problem in report.problems:
            if problem.blocked_by and not problem.troubles:
                first = ", ".join(problem.blocked_by)
                yield f"{problem.problem.id} fails only with what is wrong in {first}: fix that first."


_NO_TROUBLE = (Result.PASS, Result.TODO, Result.SKIP, Result.ABSENT)
