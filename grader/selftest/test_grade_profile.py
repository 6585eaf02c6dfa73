"""`python -m benchmarks.grade_profile`: what is made of the stacks that py-spy writes."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmarks.grade_profile import purpose_of, shares, table

MAIN = 'process 1:"python -m grader x"'
EXAMINER = f'{MAIN};process 2:"python -P -m grader.examination.examiner"'
WORKER = f'{EXAMINER};process 3:"bwrap --die-with-parent";process 4:"python -I /kit/grader/worker/serve.py 5"'
ASKED = "<module> (worker/serve.py:260);main (worker/serve.py:50);Worker.answer (worker/serve.py:140)"
TEST = f"{EXAMINER};call (_pytest/runner.py:3);test_learns (test_training_together.py:4)"
CALL = f"{ASKED};Operations._perform (worker/operations.py:60);run_rope (adapters.py:9)"


@pytest.mark.parametrize(
    ("stack", "purpose", "process"),
    [
        (f"{WORKER};{CALL};forward (cs336_basics/rope.py:30)", "the submission's own calls", "worker"),
        (f"{WORKER};{CALL};load (triton/runtime/interpreter.py:7)", "Triton's interpreter", "worker"),
        (f"{WORKER};{CALL};_notice (worker/usage_monitor.py:7)", "watching what the submission uses", "worker"),
        (f"{WORKER};{ASKED};_find_and_load (<frozen importlib>:1);<module> (torch/__init__.py:1)", "imports", "worker"),
        (f"{WORKER};{ASKED};encode (/kit/grader/worker/wire.py:9)", "serialisation", "worker"),
        (f"{TEST};truth (grader/cases/case.py:9);forward (a.py:1)", "expected values", "examiner"),
        (TEST, "pytest and the tests themselves", "examiner"),
        (f"{EXAMINER};explain (grader/diagnosis/attribution.py:1)", "diagnosis", "examiner"),
        (f"{MAIN};write (grader/report/output.py:1)", "the rest", "command line"),
    ],
)  # fmt: skip
def test_a_stack_has_its_purpose(stack, purpose, process):
    assert purpose_of(stack) == (purpose, process)


@pytest.mark.parametrize(
    "stack",
    [
        f"{EXAMINER};WorkerProcess.ask (grader/wall/worker_process.py:1);WorkerProcess._receive (worker_process.py:2)",
        f"{WORKER};<module> (worker/serve.py:260);main (worker/serve.py:50)",
        f"{MAIN};run (threading.py:1);Condition.wait (threading.py:9)",
        MAIN,
    ],
)
def test_who_waits_takes_no_time(stack):
    assert purpose_of(stack) is None


def test_shares_add_up_and_the_largest_stands_first():
    found = shares(
        [f"{WORKER};{CALL};forward (rope.py:1) 30", f"{MAIN};write (grader/report/output.py:1) 10", f"{MAIN} 5"]
    )
    assert found == {("the submission's own calls", "worker"): 0.75, ("the rest", "command line"): 0.25}
    printed = io.StringIO()
    console = Console(width=120, file=printed)
    console.print(table(found, 40.0))
    rows = [line for line in printed.getvalue().splitlines() if line.startswith("│")]
    assert [row.split("│")[1].strip() for row in rows] == ["the submission's own calls", "the rest", "all"]
    assert [row.split("│")[-2].strip() for row in rows] == ["30.0", "10.0", "40.0"]
