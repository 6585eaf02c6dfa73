"""What a call is charged, and that right but slow code earns the same on a busy machine as alone."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from grader.examination.runner import ExaminationResult, run_tests
from grader.kit.paths import REFERENCE
from grader.report.model import build_report
from grader.scoring.outcome import Result
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import written
from grader.submission.faults import CallTimeout
from grader.submission.locate import locate
from grader.wall.allowance import PATIENCE, Allowance, Spent, charged
from grader.wall.isolation import available, choose
from grader.wall.processes import Usage, adopt_orphans
from grader.wall.walled import WalledSubmission
from grader.wall.worker_start import Limits

linux = pytest.mark.skipif(sys.platform != "linux", reason="waiting for a processor is known on Linux only")
X = torch.tensor([0.0, 1.0])


@pytest.mark.parametrize(
    ("elapsed", "cpu", "waited", "charge"),
    [
        (10, 10, 0, 10),  # it computes
        (10, 0, 0, 10),  # it sleeps
        (10, 4, 6, 4),  # others computed
        (10, 2, 6, 4),  # others computed, and it slept
        (10, 10, 9, 10),  # it waits behind threads of its own
        (10, 40, 0, 10),  # several processors work for it
    ],
)
def test_charged_is_what_a_call_computes_and_sleeps(elapsed, cpu, waited, charge):
    assert charged(elapsed, Usage(cpu, {1: waited, 2: waited / 2})) == charge


class Machine:
    """A clock that stands still unless somebody waits, and processes that get a share of the processor."""

    def __init__(self, share: float, slowness: float = 1.0, more: float = 0.0) -> None:
        self.share, self.slowness, self.more = share, slowness, more
        self.now = 0.0

    def usage(self) -> Usage:
        return Usage(self.share * self.now, {7: (1 - self.share) * self.now})

    def extend(self) -> float:
        more, self.more = self.more, 0.0
        return more

    def run_out(self, limit_s: float) -> float:
        """The time on the clock at which a call that never ends has to end."""
        allowance = Allowance(limit_s, self.usage, self.extend, lambda: self.slowness, lambda: self.now)
        with contextlib.suppress(Spent):
            while True:
                self.now += allowance.next_look_s()
        return self.now


def test_alone_a_limit_is_seconds_on_the_clock():
    assert Machine(share=1.0).run_out(10) == pytest.approx(10, abs=0.1)


def test_what_others_computed_is_not_charged():
    assert Machine(share=0.5).run_out(10) == pytest.approx(20, abs=1)


def test_a_slow_machine_has_longer():
    assert Machine(share=1.0, slowness=1.7).run_out(10) == pytest.approx(17, abs=0.1)


def test_what_is_given_once_is_given_once():
    assert Machine(share=1.0, more=30).run_out(10) == pytest.approx(40, abs=0.1)


def test_there_is_an_end_on_the_clock():
    assert Machine(share=0.01, slowness=100).run_out(10) == pytest.approx(PATIENCE * 10, abs=0.1)


@contextlib.contextmanager
def busy_machine(loops: int = 4, seconds: int = 180, cpu: int | None = None) -> Iterator[None]:
    """So many processes that compute all the time, for as long as the block takes and no longer than that.

    Args:
        cpu: the one that all of them compute on; wherever there is room when None.
    """
    pinned = "" if cpu is None else f"import os\nos.sched_setaffinity(0, [{cpu}])\n"
    code = f"{pinned}import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"
    processes = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


COMPUTES = """
    import time

    def run_silu(in_features):
        end = time.thread_time() + 1.0
        while time.thread_time() < end:
            pass
        return in_features
"""


@linux
def test_a_call_that_fits_its_limit_alone_fits_it_beside_others(tmp_path):
    adopt_orphans()
    cpu = min(os.sched_getaffinity(0))
    with WalledSubmission(locate(written(tmp_path, COMPUTES)), Limits(call_s=1.5)) as submission, busy_machine(cpu=cpu):
        submission.load()
        submission.pin(cpu)
        time.sleep(0.5)  # until the others compute
        start = time.monotonic()
        submission.run_silu(in_features=X)
        assert time.monotonic() - start > 1.5, "the machine was not busy enough for this test to say anything"
        assert submission.charged_s < 1.6


SLOW = """
    import time
    from honest.adapters import *
    from honest.adapters import run_softmax as right

    calls = 0

    def run_softmax(in_features, dim):
        global calls
        calls += 1
        end = time.thread_time() + (1.0 if calls <= 3 else 0.0)
        while time.thread_time() < end:
            pass
        return right(in_features, dim)
"""


def graded(folder: Path, problem: str, call_limit_s: float) -> tuple[float, ExaminationResult]:
    """Points, and what came of the tests."""
    layout = locate(folder)
    chosen = [dataclasses.replace(load_rubric()[problem], call_limit_s=call_limit_s, needs=())]
    isolation = choose("auto", layout)
    run = run_tests(layout, chosen, isolation=isolation)
    report = build_report(
        str(folder), load_rubric(), chosen, run.planned, run.outcomes, run.explanations,
        policy={}, seed=run.seed, isolation=isolation.as_json(), environment={},
    )  # fmt: skip
    return report.problems[0].score.earned, run


@linux
def test_right_but_slow_code_earns_the_same_on_a_busy_machine(tmp_path):
    root = written(tmp_path, SLOW)
    shutil.copytree(REFERENCE, root / "honest")
    with busy_machine():
        earned, run = graded(root, "softmax", call_limit_s=1.5)
    assert [outcome for outcome in run.outcomes if outcome.result is not Result.PASS] == []
    assert earned == load_rubric()["softmax"].points


HANGS = """
    import time
    from honest.adapters import *
    from honest.adapters import run_softmax as right

    def run_softmax(in_features, dim):
        if in_features.dim() >= 3:
            time.sleep(60)
        return right(in_features, dim)
"""


def test_what_was_not_begun_is_said_to_be_so_and_core_claims_come_first(tmp_path):
    root = written(tmp_path, HANGS)
    shutil.copytree(REFERENCE, root / "honest")
    _, run = graded(root, "softmax", call_limit_s=0.5)
    tier = {test.id: list(type(test.tier)).index(test.tier) for test in run.planned}
    claim = {test.id: test.claim for test in run.planned}
    timeouts = [claim[outcome.id] for outcome in run.outcomes if outcome.result is Result.TIMEOUT]
    assert timeouts
    assert len(timeouts) == len(set(timeouts)), "a claim that took too long does so once, not once for each case"
    not_run = [outcome for outcome in run.outcomes if outcome.result is Result.NOT_RUN]
    assert all(outcome.message.startswith("not run: ") for outcome in not_run)
    if other := [outcome for outcome in not_run if claim[outcome.id] not in timeouts]:
        last_lost = max(tier[o.id] for o in run.outcomes if o.result is Result.TIMEOUT)
        assert min(tier[outcome.id] for outcome in other) >= last_lost


WHERE = """
    import time

    def dawdle():
        time.sleep(60)

    def run_silu(in_features):
        dawdle()

    def run_softmax(in_features, dim):
        while True:
            pass
"""


@pytest.mark.parametrize("level", ["process", "strongest"])
def test_a_timeout_says_where_the_code_was(tmp_path, level):
    layout = locate(written(tmp_path, WHERE))
    isolation = choose("process", layout) if level == "process" else available(layout)[0]
    with WalledSubmission(layout, Limits(call_s=0.5), isolation) as submission:
        with pytest.raises(
            CallTimeout, match=r"within 0\.5 s; it was in dawdle \(adapters\.py:\d+\), called by run_silu"
        ):
            submission.run_silu(in_features=X)
        with pytest.raises(CallTimeout, match=r"it was in run_softmax \(adapters\.py:\d+\)\."):
            submission.run_softmax(in_features=X, dim=-1)


COMPILES = """
    import os, pathlib, shutil, subprocess, sys

    def run_silu(in_features):
        # what a compiler's process looks like from outside
        compiler = pathlib.Path(os.environ["TMPDIR"], "cc1plus")
        shutil.copy(shutil.which("sleep"), compiler)
        subprocess.run([compiler, "2"], check=True)
        return in_features

    def run_softmax(in_features, dim):
        subprocess.run([shutil.which("sleep"), "30"], check=True)
"""


@linux
def test_a_compiler_that_a_call_starts_has_as_long_as_importing_may_take(tmp_path):
    layout = locate(written(tmp_path, COMPILES))
    with WalledSubmission(layout, Limits(call_s=0.5)) as submission:
        assert submission.run_silu(in_features=X).equal(X)
        with pytest.raises(CallTimeout, match=r"within 0\.5 s"):  # once
            submission.run_silu(in_features=X)
        with pytest.raises(CallTimeout, match="it had started sleep, still at work"):
            submission.run_softmax(in_features=X, dim=-1)
