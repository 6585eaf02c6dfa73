"""Timing without a GPU: the whole path from judge to worker and back, and that cheating with time gains nothing.

The submissions are those of `attacks/timing`. Each would take many times as long as the reference (not forty times: its
inputs are in the cache after the first); whoever looks faster than three times as long has gained something.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from grader.cases.fresh_text import shuffled_text
from grader.kit.paths import REFERENCE
from grader.performance.contestants import Contestant
from grader.performance.devices import Ceilings, CpuDevice
from grader.performance.racing import Pairing, shared_bytes
from grader.performance.reference_layout import reference_layout
from grader.performance.statistics import Thresholds
from grader.performance.tensor_races import RACES, softmax_races
from grader.performance.text_races import run_text_race, tokenizer_races
from grader.selftest.attacks.attack import Attack, load_attacks
from grader.selftest.layouts import written
from grader.submission.locate import locate
from grader.wall.isolation import choose
from grader.wall.processes import adopt_orphans
from grader.wall.walled import WalledSubmission
from grader.wall.worker_start import Limits

RACE = dataclasses.replace(next(softmax_races("cpu")), thresholds=Thresholds(full=1.5, none=3.0))
BUDGET_S = 2.5
ATTACKS = load_attacks(timed=True)


@pytest.fixture(scope="module")
def device() -> CpuDevice:
    adopt_orphans()
    return CpuDevice()


@pytest.fixture(scope="module")
def ceilings(device) -> Ceilings:
    return device.ceilings()


@pytest.fixture(scope="module")
def reference(device):
    layout = reference_layout(device.name)
    with Contestant(layout, choose("auto", layout), device, shared_bytes(device)) as contestant:
        yield contestant


def race_of(folder: Path, device, ceilings, reference, race=RACE, budget_s=BUDGET_S):
    layout = locate(folder)
    with Contestant(layout, choose("auto", layout), device, shared_bytes(device)) as contestant:
        return Pairing(contestant, reference, device, ceilings).run(race, budget_s)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_cheating_gains_nothing(attack: Attack, tmp_path, device, ceilings, reference):
    result = race_of(attack.write(tmp_path / "submission", 1), device, ceilings, reference)
    if attack.earns == "everything":
        assert result.status == "measured", result.message
        assert 3.5 < result.ratio < 45
    elif result.status == "measured":
        assert result.share == 0, f"it looked {result.ratio:.2f} times as slow as the reference"
    else:
        assert result.status in ("wrong", "failed", "impossible"), result.message


def test_the_same_code_is_as_fast_as_itself(device, ceilings, reference):
    race = dataclasses.replace(RACE, thresholds=Thresholds(full=0.5, none=2.0))
    result = race_of(Path(reference.submission.layout.root), device, ceilings, reference, race, budget_s=10)
    assert result.status == "measured", result.message
    assert result.low <= 1.03
    assert result.high >= 0.97


@pytest.mark.parametrize("problem", [problem for problem, races in RACES.items() if list(races("cpu"))])
def test_every_race_accepts_the_reference(problem, device, ceilings, reference):
    layout = reference.submission.layout
    with Contestant(layout, choose("auto", layout), device, shared_bytes(device)) as contestant:
        for race in RACES[problem](device.name):
            race = dataclasses.replace(race, thresholds=Thresholds(full=3.0, none=9.0))
            result = Pairing(contestant, reference, device, ceilings).run(race, budget_s=0.1)
            assert result.status == "measured", result.message
            assert result.share == 1


CHILDREN_OF_NOBODY = """
    import os, pickle, signal
    from honest.adapters import *
    from honest.adapters import get_tokenizer as right

    class Forks:
        def __init__(self, tokenizer):
            self.tokenizer = tokenizer

        def encode(self, text):
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody hears of its end, nor of the time it took
            answer, give = os.pipe()
            os.set_blocking(answer, BLOCKS)
            if os.fork() == 0:
                for _ in range(60):
                    ids = self.tokenizer.encode(text)
                with os.fdopen(give, "wb") as file:
                    pickle.dump(ids, file)
                os._exit(0)
            os.close(give)
            parts = []
            while True:
                try:
                    if not (part := os.read(answer, 1 << 16)):
                        break
                    parts.append(part)
                except BlockingIOError:
                    os.sched_yield()
            os.close(answer)
            return pickle.loads(b"".join(parts))

    def get_tokenizer(vocab, merges, special_tokens=None):
        return Forks(right(vocab, merges, special_tokens))
"""


@pytest.mark.parametrize("waiting", ["asleep", "always ready, and of the least priority"])
def test_what_children_of_nobody_compute_is_the_students(tmp_path, waiting):
    """A tokenizer that lets children compute sixty times over, whose processor time the kernel accounts nobody."""
    source = CHILDREN_OF_NOBODY.replace("BLOCKS", str(waiting == "asleep"))
    if waiting != "asleep":
        source += "    os.nice(19)\n"
    root = written(tmp_path, source)
    shutil.copytree(REFERENCE, root / "honest")
    full = next(tokenizer_races())
    race = dataclasses.replace(full, draw=lambda seed: {"text": shuffled_text(seed, 60_000)})
    isolation = choose("auto", locate(root))
    with (
        WalledSubmission(locate(root), Limits(call_s=60), isolation) as ours,
        WalledSubmission(reference_layout("cpu"), Limits(call_s=60), isolation) as theirs,
    ):
        result = run_text_race(race, ours, theirs, budget_s=5)
    assert result.ratio > 8, f"it looked {result.ratio:.1f} times as slow as the reference"


def test_a_timed_call_counts_what_children_of_nobody_compute(tmp_path):
    """Tests that judge times have the account of the limits: what a call is charged bounds what it seems to compute."""
    root = written(tmp_path, CHILDREN_OF_NOBODY.replace("BLOCKS", "True"))
    shutil.copytree(REFERENCE, root / "honest")
    isolation = choose("auto", locate(root))
    text = shuffled_text(0, 20_000)
    seconds = []
    for layout in (locate(root), reference_layout("cpu")):
        with WalledSubmission(layout, Limits(call_s=60), isolation) as submission:
            tokenizer = submission.tokenizer({i: bytes([i]) for i in range(256)}, [])
            seconds.append(min(tokenizer.seconds_to_encode(text) for _ in range(3)))
    assert seconds[0] > 5 * seconds[1]
