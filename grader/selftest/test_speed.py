"""Ratios, intervals, verdicts and points of races, and the turns that they come from."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Mapping

import pytest
import torch

from grader.cases.compare import Mismatch, Tolerance, compare
from grader.performance.devices import CpuDevice
from grader.performance.paired_turns import take_turns
from grader.performance.racing import ReferenceCannotRun, open_pairing
from grader.performance.reference_layout import reference_layout
from grader.performance.statistics import Pair, Taken, Thresholds, Verdict, estimate, is_settled, pair_of, verdict
from grader.performance.tensor_races import RACES
from grader.report.model import build_report
from grader.scoring.outcome import Outcome, PlannedTest, Result, Tier
from grader.scoring.points import Status
from grader.scoring.races import RaceResult, Speed, score_races
from grader.scoring.rubric import load_rubric
from grader.submission.locate import locate
from grader.wall.isolation import choose

THRESHOLDS = Thresholds(full=2.0, none=6.0)
PROBLEM = load_rubric()["flash_attention_triton_speed"]


def noisy_pairs(ratio: float, count: int, seed: int = 0) -> list[Pair]:
    """Times of a machine whose speed wanders by half, and whose single times are off by a few per cent."""
    chance = random.Random(seed)
    pairs = []
    for _ in range(count):
        slowness = chance.uniform(1, 1.5)
        student, reference = (slowness * chance.lognormvariate(0, 0.03) for _ in range(2))
        pairs.append(Pair(ratio * student, reference))
    return pairs


def result(status: str = "measured", share: float = 1.0) -> RaceResult:
    return RaceResult(PROBLEM.id, "some", status, share=share)


def test_the_interval_holds_the_true_ratio():
    inside = [estimate(noisy_pairs(1.7, 20, seed)) for seed in range(100)]
    assert sum(found.low <= 1.7 <= found.high for found in inside) >= 95
    assert all(abs(found.ratio / 1.7 - 1) < 0.05 for found in inside)


def test_a_few_disturbed_pairs_move_nothing():
    pairs = [*noisy_pairs(1.0, 20), Pair(30.0, 1.0), Pair(1.0, 30.0), Pair(50.0, 1.0)]
    assert abs(estimate(pairs).ratio - 1) < 0.03


def test_more_pairs_make_the_interval_narrower():
    assert estimate(noisy_pairs(1.0, 100)).half_width < estimate(noisy_pairs(1.0, 10)).half_width


@pytest.mark.parametrize(
    ("ratio", "expected"), [(1.0, Verdict.FAST), (3.0, Verdict.BETWEEN), (9.0, Verdict.SLOW), (2.0, Verdict.UNDECIDED)]
)
def test_verdicts(ratio, expected):
    assert verdict(estimate(noisy_pairs(ratio, 30)), THRESHOLDS) is expected


def test_a_clear_verdict_needs_no_more_pairs_and_an_unclear_one_does():
    assert is_settled(noisy_pairs(1.0, 8), THRESHOLDS, precision=0.01)
    assert not is_settled(noisy_pairs(1.0, 7), THRESHOLDS, precision=0.01)
    assert not is_settled(noisy_pairs(2.0, 30), THRESHOLDS, precision=0.01)
    assert not is_settled(noisy_pairs(3.0, 8), THRESHOLDS, precision=0.001)


@pytest.mark.parametrize(("ratio", "share"), [(0.5, 1), (2, 1), (3, 0.75), (4, 0.5), (6, 0), (60, 0)])
def test_points_fall_linearly_between_thresholds(ratio, share):
    assert THRESHOLDS.fraction(ratio) == share


def test_contestants_take_turns_with_the_same_inputs_and_none_comes_twice():
    log = []

    def turn(name):
        def take(seed):
            log.append((name, seed))
            return Taken(1.0, 1.0)

        return take

    take_turns(
        turn("s"), turn("r"), Thresholds(0.5, 2.0), chance=random.Random(0), budget_s=60, most_pairs=4, warm_ups=1
    )
    assert [name for name, _ in log] == ["r", "s", *"srrssrrs"]
    seeds = [seed for _, seed in log]
    assert seeds[0::2] == seeds[1::2]
    assert len(set(seeds)) == len(seeds) / 2


@pytest.mark.parametrize(("slower", "order"), [(7, "srrs"), (9, "rsrrsr"), (20, "rrsrrrrsrr"), (400, "rrrsrrrrrrsrrr")])
def test_a_long_turn_has_turns_of_the_reference_on_either_side(slower, order):
    """A machine that gets slower and slower is no student's fault: the mean of those around it is fair."""
    log, clock = [], itertools.count(100)

    def turn(name, seconds):
        def take(seed):
            log.append((name, seed))
            slowness = next(clock) / 100
            return Taken(seconds * slowness, seconds * slowness)

        return take

    pairs = take_turns(
        turn("s", slower), turn("r", 1.0), Thresholds(1, 1000), chance=random.Random(0), budget_s=60, most_pairs=2,
        warm_ups=1,
    )  # fmt: skip
    assert "".join(name for name, _ in log) == "rs" + order
    assert len({seed for _, seed in log}) == 3
    if slower > 8:
        assert [pair.ratio for pair in pairs] == pytest.approx([slower, slower])


@pytest.mark.parametrize(
    ("student", "reference", "ratio"),
    [
        (Taken(2.0, 2.1), Taken(1.0, 1.1), 2.0),  # what is on the clock that counts
        (Taken(2.0, 6.0), Taken(1.0, 3.0), 2.0),  # a busy machine takes its time from both
        (Taken(0.1, 60.0), Taken(1.0, 1.0), 40.0),  # others computed for it, and are accounted nobody
        (Taken(0.1, 0.1), Taken(1.0, 1.0), 0.1),  # faster than the reference
    ],
)
def test_time_that_passed_and_that_nobody_is_charged_is_the_students(student, reference, ratio):
    assert pair_of(student, reference).ratio == pytest.approx(ratio)


def test_points_are_the_mean_of_the_races():
    score = score_races(PROBLEM, [result(share=1.0), result(share=0.5)])
    assert (score.earned, score.status) == (0.75 * PROBLEM.points, Status.PARTIAL)
    assert score_races(PROBLEM, [result(), result()]).status is Status.PASS


@pytest.mark.parametrize("status", ["wrong", "impossible", "failed"])
def test_a_wrong_answer_costs_all_points(status):
    score = score_races(PROBLEM, [result(), result(status, 0.0)])
    assert (score.earned, score.status) == (0, Status.FAIL)


def test_what_cannot_be_measured_is_not_assessed():
    assert score_races(PROBLEM, []).status is Status.NOT_ASSESSED
    assert score_races(PROBLEM, [result(), result("busy")]).status is Status.NOT_ASSESSED
    assert score_races(PROBLEM, [result("todo")] * 2).status is Status.TODO
    assert score_races(PROBLEM, [result("not_provided")] * 2).status is Status.NOT_PROVIDED


@pytest.mark.parametrize(("outcome", "earned"), [(Result.PASS, 1.0), (Result.FAIL, 0.0)])
def test_first_correct_then_fast(outcome, earned):
    rubric = load_rubric()
    test = PlannedTest("t::t", "softmax", "t::t", "", tier=Tier.CORE, judges_values=True, own_adapter=False)
    report = build_report(
        submission="",
        rubric=rubric,
        problems=[rubric["softmax"], rubric["softmax_speed"]],
        planned=[test],
        outcomes=[Outcome("t::t", outcome)],
        explanations={},
        policy={},
        seed=None,
        isolation={},
        environment={},
        speed=Speed((RaceResult("softmax_speed", "some", "measured", share=1.0),)),
    )
    fast = report.problems[1]
    assert fast.score.earned == earned
    assert fast.blocked_by == (() if earned else ("softmax",))


def test_a_device_that_cannot_be_used_behind_the_wall_is_no_fault_of_the_submission(tmp_path):
    """The reference is started first and alone: where it cannot use the device, nobody's code was asked anything."""
    (tmp_path / "adapters.py").write_text("raise OSError('no such device')\n", "utf-8")
    broken, right = locate(str(tmp_path)), reference_layout("cpu")
    level = choose("auto", right)
    with (
        pytest.raises(ReferenceCannotRun, match=r"cannot be used behind the wall here .*no such device"),
        open_pairing(right, level, CpuDevice(), reference=broken),
    ):
        pytest.fail("there is nothing to race against")


def test_a_slow_contestant_gets_fewer_turns_to_warm_up():
    turns = []

    def slow(seed):
        turns.append(seed)
        time.sleep(0.03)
        return Taken(0.03, 0.03)

    pairs = take_turns(
        slow, lambda seed: Taken(1.0, 1.0), THRESHOLDS, chance=random.Random(0), budget_s=0.04, most_pairs=1
    )
    assert (len(pairs), len(turns)) == (1, 3)  # the first is free, and the second took more than half of the time


def test_sixteen_bits_are_judged_by_what_all_values_have_in_common():
    """PyTorch's own attention in bf16 is right, though it is far off where much cancels; with eight bits it is not."""
    race = next(RACES["flash_attention_pytorch_speed"]("cuda"))
    generator = torch.Generator().manual_seed(0)
    drawn = {name: torch.randn(1, 4096, 64, generator=generator).bfloat16() for name in (*"QKV", "cotangent")}
    truth = [value.bfloat16() for value in race.truth(drawn, {}, torch.arange(1))]

    def found(inputs: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        q, k, v = leaves = [inputs[name].clone().requires_grad_() for name in "QKV"]
        scores = (q @ k.mT * 0.125).masked_fill(torch.ones(4096, 4096, dtype=torch.bool).triu(1), -torch.inf)
        output = scores.softmax(-1) @ v
        return [output.detach(), *torch.autograd.grad(output, leaves, inputs["cotangent"])]

    compare(truth, found(drawn), race.tolerance)
    with pytest.raises(Mismatch):
        compare(truth, found(drawn), Tolerance(3 * 1.6e-2))  # what the worst of them would cost
    eight_bits = {name: value.to(torch.float8_e4m3fn).bfloat16() for name, value in drawn.items()}
    with pytest.raises(Mismatch):
        compare(truth, found(eight_bits), race.tolerance)


@pytest.mark.parametrize("decay_first", [True, False])
@pytest.mark.parametrize("eps_first", [True, False])
def test_every_right_adamw_is_right_in_a_race(decay_first, eps_first):
    """On a GPU millions of gradients are drawn, and some of them are next to nothing: there eps shows first."""
    race = next(RACES["adamw_speed"]("cpu"))
    options = race.subjects[0]["options"]
    lr, (beta1, beta2), eps, decay = (options[name] for name in ("lr", "betas", "eps", "weight_decay"))
    generator = torch.Generator().manual_seed(0)
    inputs = {name: torch.empty(drawn.shape) for name, drawn in race.inputs.items()}
    for name, drawn in race.inputs.items():
        drawn.fill(inputs[name], generator)
    tiny = torch.tensor([0.0, *(10.0**power for power in range(-14, -4))])
    for name in ("g0_1", "g0_2"):
        inputs[name][0, : len(tiny)] = tiny
        inputs[name][1, : len(tiny)] = -tiny
    inputs["g0_2"][2, : len(tiny)] = tiny

    def updated(name: str) -> torch.Tensor:
        p, m, v = inputs[name].clone(), torch.zeros(race.inputs[name].shape), torch.zeros(race.inputs[name].shape)
        for t in (1, 2):
            g = inputs[f"g{name[1:]}_{t}"]
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
            unbiased = math.sqrt(1 - beta2**t)
            root = (v.sqrt() + eps) / unbiased if eps_first else v.sqrt() / unbiased + eps
            shrunk = p * (1 - lr * decay) if decay_first else p
            p = shrunk - lr / (1 - beta1**t) * m / root
            p = p if decay_first else p * (1 - lr * decay)
        return p

    names = [name for name in inputs if name.startswith("p")]
    truth = [value.float() for value in race.truth(inputs, {}, torch.arange(1))]
    compare(truth, [updated(name) for name in names], race.tolerance)
