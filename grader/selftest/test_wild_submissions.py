"""Submissions as they are in the wild: odd layouts, odd imports, and code that exits, crashes, loops or lies.

Each is a few files written to a temporary folder and opened behind the wall, as a grade does. What must hold: whatever
its author could run is graded, one bad adapter costs only its own problem, and every refusal is a sentence.
"""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from grader.cases.compare import Mismatch, compare
from grader.examination.runner import ExaminationResult, run_tests
from grader.examination.session import planned_tests
from grader.kit.paths import KIT, REFERENCE
from grader.report.model import ProblemReport, Report, build_report
from grader.scoring.outcome import Result
from grader.scoring.points import Status
from grader.scoring.progress import Progress
from grader.scoring.rubric import Problem, load_rubric
from grader.selftest.layouts import public_layout, written
from grader.submission.faults import (
    AdapterMissing,
    CallTimeout,
    Fault,
    NothingToAssess,
    StudentError,
    Todo,
    WorkerCrash,
    WrongResult,
)  # fmt: skip
from grader.submission.locate import SubmissionNotFound, locate
from grader.wall.isolation import Isolation, Level, choose
from grader.wall.walled import WalledSubmission
from grader.wall.worker_start import Limits

RUBRIC = load_rubric()
X = torch.linspace(-3, 3, 7)
SILU = "import torch\n\n\ndef silu(x):\n    return x * torch.sigmoid(x)\n"


def adapters(imports: str) -> str:
    """An adapters module with one adapter, `run_silu`, whose `silu` comes from `imports`."""
    return f"{imports}\n\n\ndef run_silu(in_features):\n    return silu(in_features)\n"


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def check_silu(root: Path) -> None:
    with WalledSubmission(locate(root)) as submission:
        compare(X * torch.sigmoid(X), submission.run_silu(in_features=X))


def problems(*ids: str, call_limit_s: float = 10.0) -> list[Problem]:
    return [dataclasses.replace(RUBRIC[problem], call_limit_s=call_limit_s) for problem in ids]


def grade(
    root: Path,
    chosen: list[Problem],
    progress: Progress | None = None,
    isolation: Isolation | None = None,
    **limits: float,
) -> Report:
    layout = locate(root)
    isolation = isolation or choose("process", layout)
    run: ExaminationResult = run_tests(layout, chosen, seed=1, isolation=isolation, limits=limits, progress=progress)
    return build_report(
        str(root), RUBRIC, chosen, run.planned, run.outcomes, run.explanations,
        policy={}, seed=run.seed, isolation=isolation.as_json(), environment={},
        load_fault=run.load_fault,
    )  # fmt: skip


def by_id(report: Report) -> dict[str, ProblemReport]:
    return {problem.problem.id: problem for problem in report.problems}


def results(problem: ProblemReport) -> set[Result]:
    return {test.outcome.result for test in problem.tests}


# ------------------------------------------------------------------------------------------------------------
# Layouts and imports

EXPLODES = "raise SystemExit('imported by the wrong process')\n"
FLOOD = "import sys\nprint('loading', flush=True)\nfor _ in range(4000):\n    print('x' * 4096)\n" + SILU

LAYOUTS: dict[str, dict[str, str | bytes]] = {
    "helper beside the adapters": {
        "model.py": SILU,
        "tests/__init__.py": "",
        "tests/common.py": "from model import silu\n",
        "tests/adapters.py": adapters("from .common import silu"),
    },
    "tests folder that is no package": {
        "tests/common.py": SILU,
        "tests/adapters.py": adapters("from .common import silu"),
    },
    "plain import of a neighbour": {
        "tests/mymodel.py": SILU,
        "tests/adapters.py": adapters("from mymodel import silu"),
    },
    "src layout": {
        "src/my_lm/__init__.py": "",
        "src/my_lm/layers.py": SILU,
        "tests/adapters.py": adapters("from my_lm.layers import silu"),
    },
    "named in pyproject": {
        "pyproject.toml": '[project]\nname = "lm"\n[tool.pytest.ini_options]\npythonpath = ["code"]\n',
        "code/layers.py": SILU,
        "tests/adapters.py": adapters("from layers import silu"),
    },
    "lösung von Ada (2)": {
        "cs336 basics/model.py": SILU,
        "adapters.py": adapters(
            "import sys, os\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'cs336 basics'))\n"
            "from model import silu"
        ),
    },
    "a package that asks for its own version, and a byte order mark": {
        "transformer_from_scratch/__init__.py": "from importlib import metadata\nmetadata.version('cs336_basics')\n",
        "transformer_from_scratch/nn.py": SILU,
        "adapters.py": b"\xef\xbb\xbf" + adapters("from transformer_from_scratch.nn import silu").encode(),
    },
    "a file name that is no module name, opened by a relative path": {
        "2_0_model.py": SILU,
        "tests/adapters.py": adapters(
            "import importlib.util\n"
            "spec = importlib.util.spec_from_file_location('model', '2_0_model.py')\n"
            "module = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(module)\nsilu = module.silu"
        ),
    },
    "archive in an archive": {
        "__MACOSX/._adapters.py": b"\0\5",
        "assignment1-main/model.py": SILU,
        "assignment1-main/tests/adapters.py": adapters("from model import silu"),
        "assignment1-main/.venv/pyvenv.cfg": "",
        "assignment1-main/.venv/lib/adapters.py": EXPLODES,
    },
    "traps for the judge": {
        **dict.fromkeys(
            ["conftest.py", "tests/conftest.py", "sitecustomize.py", "usercustomize.py", "torch.py", "numpy.py"],
            EXPLODES,
        ),
        **dict.fromkeys(["msgpack.py", "pytest.py", "grader/__init__.py", "tests/test_silu.py"], EXPLODES),
        "pytest.ini": "[pytest]\naddopts = --collect-only --no-such-option\n",
        "model.py": SILU,
        "tests/adapters.py": adapters("from model import silu"),
    },
    "flood of output": {"model.py": FLOOD, "tests/adapters.py": adapters("from model import silu")},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_taken_as_they_are(tmp_path, name):
    check_silu(write(tmp_path / name, LAYOUTS[name]))


def test_adapters_may_change_what_they_are_given(tmp_path):
    source = (
        "def run_transformer_block(weights, in_features, **_):\n"
        "    in_features += weights.pop('ln1.weight')\n    return in_features\n"
    )
    weights = {"ln1.weight": torch.ones(3)}
    features = torch.zeros(3)
    with WalledSubmission(locate(write(tmp_path, {"adapters.py": source}))) as submission:
        for _ in range(2):
            found = submission.run_transformer_block(weights=weights, in_features=features)
            assert torch.equal(found, torch.ones(3))


@pytest.mark.skipif(sys.platform != "linux", reason="fork and forkserver are what Linux has")
def test_processes_started_by_a_submission_can_import_it(tmp_path):
    trainer = (
        "import multiprocessing, os\n\n\n"
        "def count(chunk):\n    return len(chunk), os.getpid()\n\n\n"
        "def train(path, method):\n"
        "    text = open(path).read()\n"
        "    with multiprocessing.get_context(method).Pool(2) as pool:\n"
        "        found = pool.map(count, [text[:5], text[5:]])\n"
        "    assert os.getpid() not in [pid for _, pid in found]\n"
        "    return {0: str([n for n, _ in found]).encode()}, []\n"
    )
    source = (
        "from cs336_basics.trainer import train\n\n\n"
        "def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):\n"
        "    return train(input_path, special_tokens[0])\n"
    )
    files = {"cs336_basics/__init__.py": "", "cs336_basics/trainer.py": trainer, "tests/adapters.py": source}
    with WalledSubmission(locate(write(tmp_path, files)), Limits(call_s=60)) as submission:
        for method in ("fork", "spawn", "forkserver"):
            found = submission.train_bpe(corpus=b"hello world", vocab_size=1, special_tokens=[method])
            assert found["tokens"] == [b"[5, 6]"], method


# ------------------------------------------------------------------------------------------------------------
# What cannot be found


def test_a_folder_without_adapters_is_refused(tmp_path):
    with pytest.raises(SubmissionNotFound, match=r"no adapters\.py and no tests/adapters\.py"):
        locate(write(tmp_path, {"model.py": SILU}))


def test_two_submissions_at_once_are_refused_by_name(tmp_path):
    source = adapters(SILU)
    write(tmp_path, {"ada/adapters.py": source, "grace/tests/adapters.py": source})
    with pytest.raises(SubmissionNotFound, match=r"ada/adapters.py, grace/tests/adapters.py.*Name the folder"):
        locate(tmp_path)
    assert locate(tmp_path / "ada").adapters == "adapters.py"


def test_adapters_that_are_not_text_are_refused(tmp_path):
    with pytest.raises(SubmissionNotFound, match="is not UTF-8 text"):
        locate(write(tmp_path, {"adapters.py": "# Größe\n".encode("latin-1")}))


# ------------------------------------------------------------------------------------------------------------
# What cannot be imported

BROKEN_IMPORTS = {
    "missing package": ("from einx_of_the_future import *\n", "needs the package 'einx_of_the_future', which is not"),
    "missing own module": ("from cs336_basics.nowhere import silu\n", "'cs336_basics.nowhere' does not exist in this"),
    "own package left out": (
        "from mine.layers import silu\n",
        "'mine', the package of the submission's own code, is not in it. Hand in the whole folder",
    ),
    "syntax error": ("import cs336_basics.broken\n", r"cs336_basics/broken\.py:3: IndentationError"),
    "exit": ("import sys\nsys.exit(0)\n", r"ended the program \(sys\.exit\(0\)\)"),
    "hard exit": ("import os\nos._exit(0)\n", r"ended the process \(exit code 0\)"),
    "endless": (
        "while True:\n    pass\n",
        r"importing adapters\.py took longer than 3 s; it was in <module> \(adapters\.py:\d\)",
    ),
}


@pytest.mark.parametrize("name", BROKEN_IMPORTS)
def test_a_broken_import_is_explained(tmp_path, name):
    source, said = BROKEN_IMPORTS[name]
    broken = "def f():\n    x = 1\n  return x\n"
    write(tmp_path, {"adapters.py": source, "cs336_basics/__init__.py": "", "cs336_basics/broken.py": broken})
    write(tmp_path, {"pyproject.toml": '[project]\nname = "mine"\n'})
    with WalledSubmission(locate(tmp_path), Limits(load_s=3 if name == "endless" else 60)) as submission:
        for _ in range(2):  # the second call does not try again
            with pytest.raises(Fault, match=said):
                submission.run_silu(in_features=X)


def test_syntax_of_a_newer_python_is_named(tmp_path):
    source = "def first[T](items: list[T]) -> T:\n    return items[0]\n\n\n" + SILU
    write(tmp_path, {"adapters.py": adapters(source)})
    if sys.version_info >= (3, 12):
        check_silu(tmp_path)
        return
    with (
        WalledSubmission(locate(tmp_path)) as submission,
        pytest.raises(NothingToAssess, match=r"adapters\.py is written for Python 3\.12 or later"),
    ):
        submission.run_silu(in_features=X)


def test_a_submission_that_cannot_be_imported_has_a_full_report(tmp_path):
    write(tmp_path, {"adapters.py": "import cs336_basics.nowhere\n", "cs336_basics/__init__.py": ""})
    report = grade(tmp_path, problems("checkpointing"))
    assert report.load_fault is not None
    assert "cs336_basics.nowhere" in report.load_fault
    assert by_id(report)["checkpointing"].score.status is Status.ERROR
    planned = {test.id for test in planned_tests(["checkpointing"])}
    assert {test.plan.id for test in by_id(report)["checkpointing"].tests} == planned


# ------------------------------------------------------------------------------------------------------------
# What an adapter may do

MISDEEDS = """
import ctypes, os, sys
import numpy as np
import torch


class Sly(torch.Tensor):
    pass


class Liar:
    def __eq__(self, other):
        return True


def run_silu(in_features):
    return in_features.as_subclass(Sly)


def run_softmax(in_features, dim):
    return in_features.tolist()


def run_rmsnorm(d_model, eps, weights, in_features):
    return in_features.numpy()


def run_linear(d_in, d_out, weights, in_features):
    return Liar()


def run_embedding(vocab_size, d_model, weights, token_ids):
    return [weights, {"nested": Liar()}]


def run_cross_entropy(logits_named_otherwise, targets):
    raise NotImplementedError("cross_entropy: later")


def run_get_batch(dataset, batch_size, context_length, device):
    import package_of_the_future


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    hoard = []
    while True:
        hoard.append(torch.empty(1 << 26))


def run_get_lr_cosine_schedule(it, **_):
    if it == 0:
        sys.exit("enough")
    if it == 1:
        os._exit(7)
    if it == 2:
        ctypes.string_at(0)
    while it == 3:
        pass
    return float(it)
"""


@pytest.fixture(scope="module")
def misdeeds(tmp_path_factory) -> Iterator[WalledSubmission]:
    root = write(tmp_path_factory.mktemp("misdeeds"), {"adapters.py": MISDEEDS})
    with WalledSubmission(locate(root), Limits(call_s=2, memory_mib=3000)) as submission:
        yield submission


def rate(submission: WalledSubmission, it: int) -> float:
    return submission.run_get_lr_cosine_schedule(
        it=it, max_learning_rate=1, min_learning_rate=0, warmup_iters=1, cosine_cycle_iters=2
    )


def test_results_that_are_not_plain_data_are_refused(misdeeds):
    weight = torch.ones(2, 2)
    with pytest.raises(WrongResult, match=r"type adapters\.Sly"):
        misdeeds.run_silu(in_features=X)
    with pytest.raises(WrongResult, match=r"type adapters\.Liar"):
        misdeeds.run_linear(d_in=2, d_out=2, weights=weight, in_features=X)
    with pytest.raises(WrongResult, match=r"\[1\]\['nested'\] has type adapters\.Liar"):
        misdeeds.run_embedding(vocab_size=2, d_model=2, weights=weight, token_ids=torch.tensor([0]))


def test_results_of_another_type_are_wrong_with_a_reason(misdeeds):
    with pytest.raises(Mismatch, match=r"expected a torch\.Tensor, got a list"):
        compare(X, misdeeds.run_softmax(in_features=X, dim=-1))
    with pytest.raises(Mismatch, match=r"expected a torch\.Tensor, got a numpy\.ndarray"):
        compare(X, misdeeds.run_rmsnorm(d_model=7, eps=1e-5, weights=X, in_features=X))


def test_unwritten_and_absent_adapters_are_told_apart(misdeeds):
    with pytest.raises(Todo, match="later"):
        misdeeds.run_cross_entropy(inputs=torch.ones(1, 2), targets=torch.tensor([0]))
    with pytest.raises(AdapterMissing, match="no adapter run_swiglu"):
        misdeeds.run_swiglu(in_features=X)


def test_a_package_missing_inside_a_function_is_named(misdeeds):
    with pytest.raises(NothingToAssess, match="package_of_the_future"):
        misdeeds.run_get_batch(dataset=np.arange(5), batch_size=1, context_length=2, device="cpu")


def test_exits_crashes_and_loops_cost_one_call_each(misdeeds):
    with pytest.raises(StudentError, match=r"called sys\.exit"):
        rate(misdeeds, 0)
    assert rate(misdeeds, 9) == 9
    with pytest.raises(WorkerCrash, match="exit code 7"):
        rate(misdeeds, 1)
    assert rate(misdeeds, 9) == 9
    with pytest.raises(WorkerCrash, match="segmentation fault"):
        rate(misdeeds, 2)
    assert rate(misdeeds, 9) == 9
    with pytest.raises(CallTimeout, match="within 2 s"):
        rate(misdeeds, 3)
    assert rate(misdeeds, 9) == 9


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_runaway_memory_ends_in_an_error_not_in_a_dead_machine(misdeeds):
    misdeeds.call_limit_s = 20
    with pytest.raises(StudentError, match=r"memory"):
        misdeeds.run_rope(d_k=2, theta=1.0, max_seq_len=2, in_query_or_key=X, token_positions=X.long())
    assert rate(misdeeds, 9) == 9


# ------------------------------------------------------------------------------------------------------------
# Whole grades

BAD_ADAPTERS = """

from pathlib import Path


def once(name):
    mark = Path(name)
    first = not mark.exists()
    mark.touch()
    return first


def run_get_lr_cosine_schedule(it, *_, **__):
    while True:
        pass


def run_cross_entropy(inputs, targets):
    raise NotImplementedError


clip_well = run_gradient_clipping


def run_gradient_clipping(parameters, max_l2_norm):
    if once("exited"):
        import os

        os._exit(0)
    if once("crashed"):
        import ctypes

        ctypes.string_at(0)
    clip_well(parameters, max_l2_norm)


def run_rmsnorm(d_model, eps, weights, in_features):
    import package_of_the_future


del run_save_checkpoint
"""


def test_bad_adapters_cost_only_their_own_problems(tmp_path):
    root = public_layout(tmp_path / "solution")
    path = root / "tests" / "adapters.py"
    path.write_text(path.read_text("utf-8") + BAD_ADAPTERS, "utf-8")
    loops = problems("learning_rate_schedule", call_limit_s=0.5)
    others = problems("rmsnorm", "cross_entropy", "gradient_clipping", "data_loading", "checkpointing")
    remembers = Isolation(Level.PROCESS)  # elsewhere a new worker finds the folder as it was sent
    found = by_id(grade(root, [*loops, *others], isolation=remembers))

    assert found["data_loading"].score.status is Status.PASS
    assert found["cross_entropy"].score.status is Status.TODO
    assert found["checkpointing"].score.status is Status.NOT_PROVIDED
    assert found["learning_rate_schedule"].score.earned == 0
    assert results(found["learning_rate_schedule"]) == {Result.TIMEOUT, Result.NOT_RUN}
    rmsnorm = found["rmsnorm"].score
    assert rmsnorm.status is Status.NOT_ASSESSED
    assert rmsnorm.unassessed == 1
    assert "package_of_the_future" in found["rmsnorm"].note
    clipping = found["gradient_clipping"].tests
    crashed = {test.plan.claim for test in clipping if test.outcome.result is Result.CRASH}
    assert len(crashed) == 2
    assert all(test.outcome.result is Result.PASS for test in clipping if test.plan.claim not in crashed)


class Assassin(Progress):
    """Kills first the worker and later the examiner of a run, each in the middle of a test."""

    def __init__(self) -> None:
        self.targets = {4: "worker", 9: "examiner"}
        self.killed: list[str] = []
        self.tests = 0

    def started(self, test_id: str) -> None:
        self.tests += 1
        if name := self.targets.get(self.tests):
            time.sleep(0.05)  # let the call begin
            [pair] = [
                {"examiner": examiner, "worker": worker}
                for examiner in children(os.getpid())
                for worker in workers(examiner)
            ]
            os.kill(pair[name], signal.SIGKILL)
            self.killed.append(name)


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def workers(examiner: int) -> list[int]:
    """Its children that lead sessions of their own."""
    return [child for child in children(examiner) if os.getsid(child) == child]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_report_is_complete_when_worker_and_examiner_are_killed(tmp_path):
    root = public_layout(tmp_path / "solution")
    with (root / "tests" / "adapters.py").open("a", encoding="utf-8") as file:
        file.write(
            "\n\nrate_at_once = run_get_lr_cosine_schedule\n\n\n"
            "def run_get_lr_cosine_schedule(*args, **kwargs):\n"
            "    import time\n\n    time.sleep(0.05)\n    return rate_at_once(*args, **kwargs)\n"
        )
    assassin = Assassin()
    [problem] = grade(root, problems("learning_rate_schedule"), assassin).problems
    assert assassin.killed == ["worker", "examiner"]
    [crash] = [test for test in problem.tests if test.outcome.result is Result.CRASH]
    assert "killed" in crash.outcome.message
    others = [test.outcome.result for test in problem.tests if test.plan.claim != crash.plan.claim]
    assert set(others) == {Result.PASS}, "a test during which the examiner was killed is run again"


class Serial(Progress):
    """Kills the examiner whenever it runs one test, of all that it has begun."""

    def __init__(self, times: int) -> None:
        self.times, self.victim, self.tries = times, "", 0

    def started(self, test_id: str) -> None:
        self.victim = self.victim or test_id
        if test_id == self.victim and self.tries < self.times:
            self.tries += 1
            [examiner] = [examiner for examiner in children(os.getpid()) if workers(examiner)]
            os.kill(examiner, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("times", [1, 2])
def test_an_examiner_that_is_killed_costs_the_student_nothing(times):
    serial = Serial(times)
    [problem] = grade(REFERENCE, problems("learning_rate_schedule"), serial).problems
    assert serial.tries == times
    assert problem.score.earned == problem.problem.points - problem.score.unassessed
    unknown = [test for test in problem.tests if test.outcome.result is not Result.PASS]
    assert [test.outcome.id for test in unknown] == ([] if times == 1 else [serial.victim])
    assert bool(problem.score.unassessed) == (times == 2)
    assert all("says nothing about your code" in test.outcome.message for test in unknown)


UNSTEADY = """
    import torch

    calls = 0

    def run_softmax(in_features, dim):
        global calls
        calls += 1
        return torch.exp(in_features) * (calls % 3)
"""


def test_code_that_does_not_always_give_one_answer_is_told_so_in_words_of_the_test(tmp_path):
    """Of examples that fail now and then, Hypothesis raises groups of exceptions, with words and places of its own."""
    [problem] = grade(written(tmp_path, UNSTEADY), problems("softmax")).problems
    said = {test.outcome.id: test.outcome for test in problem.tests}
    [outcome] = [outcome for id, outcome in said.items() if "shift_invariance" in id]
    assert outcome.result in (Result.FAIL, Result.ERROR)
    assert "does not always give one answer" in outcome.detail
    for outcome in said.values():
        assert not re.search(r"could not finish|Hypothesis found|Flaky|/wall/", outcome.message), outcome.message


def test_a_report_shows_no_character_that_a_terminal_obeys(tmp_path):
    evil = r"\x1b[2J\x1b]0;title\x07\x9b31m\u202e\r"
    (tmp_path / "evil").mkdir()
    source = f"""
        def run_softmax(in_features, dim):
            print("{evil}", flush=True)
            raise ValueError("{evil} all points")
        def run_silu(in_features):
            print("{evil}", flush=True)
            import os
            os._exit(1)
    """
    written(tmp_path / "evil", source)
    command = [
        sys.executable,
        "-m",
        "grader",
        str(tmp_path / "evil"),
        "--problem",
        "softmax",
        "positionwise_feedforward",
    ]
    shown = subprocess.run(command, cwd=KIT, capture_output=True, check=True).stdout.decode()
    assert r"\x1b[2J" in shown
    assert all(c.isprintable() or c == "\n" for c in shown)
