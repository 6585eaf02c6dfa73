"""The integrity verdict lists what honest code has no reason for, and honest code is not suspected."""

from __future__ import annotations

import subprocess
import sys
import types
from typing import Any

import pytest
import torch

from grader.cases.store import stored_cases
from grader.kit.handout import write_handout
from grader.kit.paths import FIXTURES, KIT
from grader.misconceptions.catalogue import Variant
from grader.rules.from_scratch import Effect, find_breaches
from grader.rules.integrity import find_suspicions
from grader.scoring.outcome import Outcome, PlannedTest, Result, Tier
from grader.scoring.rubric import load_rubric
from grader.selftest.attacks.attack import load_attacks
from grader.selftest.kill_matrix import honest_variants
from grader.selftest.layouts import written
from grader.submission.faults import WorkerCrash, WrongResult
from grader.submission.in_process import InProcess
from grader.submission.locate import locate
from grader.wall.isolation import Level, available
from grader.wall.repeated_calls import Crosscheck, agree, decoy, disagreement
from grader.wall.walled import WalledSubmission
from grader.wall.worker_start import Limits
from grader.worker.buffers import fill
from grader.worker.operations import Operations

HONEST = """
    import collections, concurrent.futures, gc, importlib, inspect, logging, os, pathlib, signal, subprocess, sys
    import tempfile, time, traceback, typing, warnings
    import torch

    Pair = collections.namedtuple("Pair", "left right")
    log = logging.getLogger(__name__)
    pathlib.Path("notes.txt").write_text("mine")

    def run_silu(in_features):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.warn("careful")
        log.warning("called from %s", inspect.signature(run_silu))
        importlib.import_module("colorsys")
        gc.collect()
        try:
            raise ValueError
        except ValueError:
            traceback.format_exc()
        with tempfile.TemporaryDirectory() as folder, concurrent.futures.ProcessPoolExecutor(1) as pool:
            pathlib.Path(folder, "report.txt").write_text("mine")
            assert pool.submit(abs, -1).result() == 1
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        os.kill(sleeper.pid, signal.SIGTERM)
        sleeper.wait()
        for name in ("/proc/self/status", f"/proc/{os.getpid()}/statm", "/proc/meminfo", "/proc/cpuinfo", os.devnull):
            pathlib.Path(name).read_text()
        os.listdir("."), os.listdir(pathlib.Path.home())
        assert pathlib.Path("notes.txt").read_text() == "mine"
        print(time.perf_counter(), typing.get_type_hints(run_silu), file=sys.stderr)
        return in_features * torch.sigmoid(in_features)
"""


def test_honest_code_is_not_suspected(tmp_path):
    layout = locate(written(tmp_path, HONEST))
    with WalledSubmission(layout) as submission:
        submission.crosscheck = Crosscheck(0)
        x = torch.tensor([0.0, 1.0])
        assert torch.allclose(submission.run_silu(in_features=x), x * torch.sigmoid(x))
        assert find_suspicions(layout, {"": submission.noticed}, []) == ()


CONTROLS = [attack for attack in load_attacks() if attack.family == "controls"]


@pytest.mark.parametrize("control", CONTROLS, ids=[control.name for control in CONTROLS])
@pytest.mark.parametrize("level", [level for level in Level if level is not Level.NONE])
def test_honest_oddities_are_not_suspected_at_any_level(tmp_path, control, level):
    layout = locate(control.write(tmp_path, port=0))
    isolation = next((found for found in available(layout) if found.level is level), None)
    if isolation is None:
        pytest.skip(f"{level} does not work here")
    x = torch.tensor([[0.0, 1.0], [2.0, 4.0]])
    with WalledSubmission(layout, Limits(call_s=60), isolation) as submission:
        for _ in range(2):
            assert torch.allclose(submission.run_softmax(in_features=x, dim=-1), torch.softmax(x, -1))
        suspicions = find_suspicions(layout, {"": submission.noticed}, [])
        breaches = find_breaches([load_rubric()["softmax"]], {}, {"softmax": submission.uses_seen})
    assert suspicions == ()
    assert {finding.effect for finding in breaches.get("softmax", ())} <= {Effect.WARN}


def test_a_remark_says_what_and_where(tmp_path):
    source = """
        import time
        def run_silu(in_features):
            time.perf_counter = time.time
            open("/proc/1/environ").close()
    """
    layout = locate(written(tmp_path, source))
    with WalledSubmission(layout) as submission:
        with pytest.raises(Exception, match="environ"):
            submission.run_silu(in_features=torch.zeros(1))
        opened, patched = find_suspicions(layout, {"softmax": submission.noticed}, [])
    assert (opened.kind, opened.problem, opened.where) == ("processes", "softmax", "adapters.py:4")
    assert opened.evidence == "It opened /proc/1/environ, of another process."
    assert (patched.kind, patched.evidence) == ("patched", "It replaced time.perf_counter.")


TAMPERS = {
    "a table of drivers": "from grader_worker.drivers import DRIVERS; DRIVERS['clip'] = lambda *a, **k: 1",
    "an entry of a driver's own table": "from grader_worker.drivers import timing; timing._KINDS['module'] = None",
    "a driver's code": "from grader_worker.drivers import bpe; bpe.train_bpe.__code__ = (lambda o: 1).__code__",
    "a default": "from grader_worker import wire; wire.encode.__defaults__ = (1,)",
    "a method": "from grader_worker.operations import Operations; Operations.keep = lambda self, value: 1",
    "an attribute that hides a method": "import gc; from grader_worker.operations import Operations; "
    "[setattr(b, 'perform', lambda *a: 1) for b in gc.get_objects() if type(b) is Operations]",
    "the main loop": "import sys; sys.modules['__main__']._receive = lambda *a: None",
    "a constant": "from grader_worker import usage_monitor; usage_monitor._THEN_ONE_IN = 10**9",
    "a helper that is needed later": "from grader_worker import buffers; buffers.fill = lambda *a: False",
}


@pytest.mark.parametrize("how", TAMPERS)
def test_whatever_measures_is_watched(tmp_path, how):
    source = """
        def run_silu(in_features):
            return in_features
        def run_softmax(in_features, dim):
            change()
            return in_features
        def change():
            CHANGE
    """
    root = written(tmp_path, source)
    text = (root / "adapters.py").read_text()
    (root / "adapters.py").write_text(text.replace("CHANGE", TAMPERS[how]))
    x = torch.zeros(1)
    with WalledSubmission(locate(root)) as submission:
        assert submission.run_silu(in_features=x).equal(x)
        assert submission.noticed == []
        with pytest.raises((WrongResult, WorkerCrash)):
            submission.run_softmax(in_features=x, dim=0)
        assert "tampered" in {remark["kind"] for remark in submission.noticed}


LOOKS = """
import sys, types
from grader.worker.identity_snapshot import IdentitySnapshot
space = types.SimpleNamespace(function=lambda x=1: x, table=[object() for _ in range(1000)], more={1: 2})
snapshot, heard = IdentitySnapshot({"space": space}), []
sys.addaudithook(lambda event, _: heard.append(event))
assert snapshot.differences() == []
print(len(heard))
"""


def test_a_look_for_what_was_replaced_is_no_news_to_audit_hooks():
    """It follows every request. To ask for the `id` of thousands of objects, with hooks about, took half of a grade."""
    ran = subprocess.run([sys.executable, "-c", LOOKS], cwd=KIT, capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 10


def test_a_handle_is_never_given_twice(tmp_path):
    operations = Operations(types.ModuleType("adapters"))
    first, second = operations.keep("a"), operations.keep("b")
    del operations.objects[first]
    third = operations.keep("c")
    assert len({first, second, third}) == 3
    assert (operations.objects[second], operations.objects[third]) == ("b", "c")


def test_a_plant_that_fails_leaves_nothing_planted():
    from grader.reference import layers

    before = layers.silu
    variant = Variant("x", "softmax", {"layers.silu": None, "layers.no_such_name": None})
    with pytest.raises(KeyError), variant.planted():
        pass
    assert layers.silu is before
    with pytest.raises(KeyError):
        variant.plant()
    assert layers.silu is before


def test_forged_remarks_are_taken_as_text_or_not_at_all(tmp_path):
    remarks = [
        *(None, 3, {"kind": "files"}, {"kind": "elsewhere", "evidence": "e", "where": ""}),
        {"kind": "files", "evidence": "it \x1b[2J opened\nx", "where": "\x07"},
    ]
    (only,) = find_suspicions(locate(written(tmp_path, "")), {"": remarks}, [])
    assert only.evidence == "It \\x1b[2J opened\nx."
    assert only.where.isprintable()


@pytest.mark.parametrize(
    ("name", "suspected"),
    [("time.py", True), ("torch/__init__.py", True), ("model.py", False), ("sitecustomize.py", False)],
)
def test_shadowed_modules(tmp_path, name, suspected):
    root = written(tmp_path, "")
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("")
    found = find_suspicions(locate(root), {}, [])
    assert [(s.kind, s.where) for s in found] == (
        [("shadowed", name.removesuffix("/__init__.py"))] if suspected else []
    )


def test_whoever_hands_in_their_whole_copy_of_the_kit_is_not_suspected(tmp_path):
    write_handout(tmp_path / "copy")
    assert find_suspicions(locate(tmp_path / "copy"), {}, []) == ()


@pytest.mark.parametrize(
    ("stored", "fresh", "suspected"),
    [("...", "FFFF", True), ("...", ".FFF", True), ("...", "..FF", False), ("..F", "FFFF", False), ("..", "FF", False)],
)
def test_whoever_knows_the_stored_answers_only(tmp_path, stored, fresh, suspected):
    tests = [
        (_planned(number, drawn), Outcome(f"t::{number}", Result.PASS if mark == "." else Result.FAIL))
        for number, (mark, drawn) in enumerate([(m, False) for m in stored] + [(m, True) for m in fresh])
    ]
    found = find_suspicions(locate(written(tmp_path, "")), {}, tests)
    assert [s.kind for s in found] == (["memorised"] if suspected else [])


def _planned(number: int, fresh: bool) -> PlannedTest:
    return PlannedTest(
        f"t::{number}", "rope", "t::t", "", tier=Tier.CORE, judges_values=True, own_adapter=False, fresh=fresh
    )


# ----------------------------------------------------------------------------------------------------------------
# Calls that are made again


def test_answers_agree_when_they_are_the_same():
    nan, x = float("nan"), torch.tensor([1.0, float("nan"), float("inf")])
    assert agree({"a": [x, nan, 1]}, {"a": [x.clone(), nan, 1]})
    assert not agree(x, torch.tensor([1.001, float("nan"), float("inf")]))
    assert not agree(x, torch.tensor([1.0, 2.0, float("inf")]))
    assert not agree(x, torch.tensor([1.0, float("nan"), -float("inf")]))
    assert not agree(torch.ones(2), torch.ones(2).double())
    assert not agree([1, 2], [1, 2, 3])
    assert not agree(1, True)


def test_a_decoy_has_other_values_as_valid_as_before():
    arguments: dict[str, Any] = {"ids": torch.tensor([[1, 2], [3, 4]]), "mask": torch.tensor([True, False]), "n": 2}
    other = decoy("run_embedding", arguments)
    assert other is not None
    assert sorted(other["ids"].flatten().tolist()) == [1, 2, 3, 4]
    assert not torch.equal(other["ids"], arguments["ids"])
    assert torch.equal(other["mask"], arguments["mask"])
    assert decoy("run_embedding", {"ids": torch.ones(3)}) is None
    assert decoy("adamw_trajectory", arguments) is None


def test_the_first_calls_of_each_operation_are_made_again_and_then_some_by_the_seed():
    def due(seed: int) -> list[bool]:
        check = Crosscheck(seed)
        return [check.is_due("run_silu", 0.0) for _ in range(200)]

    assert due(1)[:2] == due(2)[:2] == [True, True]
    assert due(1) == due(1) != due(2)
    assert 10 < sum(due(1)) < 70
    assert not Crosscheck(1).is_due("run_get_batch", 0.0)


def test_slow_calls_are_made_again_as_far_as_it_costs_little():
    def again(seconds: float) -> float:
        checks = [Crosscheck(seed) for seed in range(200)]
        return sum(check.is_due("run_silu", seconds) for check in checks for _ in range(20)) / 4000

    assert again(0.5) == pytest.approx(0.5, abs=0.05)
    assert again(5.0) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_counting_and_remembering_are_both_tried_in_every_run(seed):
    """Asked twice in a row, whoever counts calls differs; asked again after something else, whoever remembers does."""
    check = Crosscheck(seed)
    check.begin("softmax")
    decoys = [check.wants_decoy("run_softmax") for _ in range(2) if check.is_due("run_softmax", 0.0)]
    assert decoys == [False, True]


def test_buffers_are_filled_in_place_if_they_fit():
    kept: dict[str, Any] = {"w": {"a": torch.zeros(2, 3).T}, "n": 1}
    inner = kept["w"]["a"]
    assert fill(kept, {"w": {"a": torch.ones(3, 2)}, "n": 1})
    assert inner.sum() == 6
    assert not fill(kept, {"w": {"a": torch.ones(2, 2)}, "n": 1})
    assert not fill(kept, {"w": {"a": torch.ones(3, 2)}, "n": 2})


PURE = [
    variant
    for problem in load_rubric().problems
    if (FIXTURES / "cases" / f"{problem.id}.msgpack").exists()
    if any(decoy(case.operation, case.inputs) for case in stored_cases(problem.id))
    for variant in honest_variants(problem.id)
]


@pytest.mark.parametrize("variant", PURE, ids=[variant.id for variant in PURE])
def test_correct_variants_answer_alike_when_they_are_asked_again(variant):
    import grader.reference.adapters as adapters

    submission = InProcess(adapters)
    operations = submission._operations
    with variant.planted():
        cases = stored_cases(variant.problem)
        for case in (cases[0], cases[-1]):
            if (other := decoy(case.operation, case.inputs)) is not None:
                first = submission.perform(case.operation, case.inputs)
                buffers = other
                to_decoy = operations.perform(case.operation, dict(buffers))
                assert fill(buffers, case.inputs)
                again = operations.perform(case.operation, dict(buffers))
                assert disagreement(case.operation, first, again, to_decoy) is None
