"""What a submission is charged for follows from what it defines, and absence is never taken for an answer."""

from __future__ import annotations

import ast
import textwrap
import types
from pathlib import Path

import pytest

from grader.examination.runner import ExaminationResult, has_tests, run_tests
from grader.kit.paths import KIT, REFERENCE
from grader.report.model import Report, build_report
from grader.scoring.outcome import PlannedTest, Result, Tier
from grader.scoring.points import Status
from grader.scoring.rubric import ProblemKind, load_rubric
from grader.selftest.layouts import without_own_adapters, written
from grader.submission.faults import AdapterMissing, Todo
from grader.submission.in_process import InProcess
from grader.submission.locate import locate
from grader.wall.isolation import Isolation, Level
from grader.wall.walled import WalledSubmission
from grader.worker.operation_table import OWN_ADAPTERS

RUBRIC = load_rubric()
TESTED = [problem for problem in RUBRIC.problems if has_tests(problem) and problem.kind is ProblemKind.CODE]
PUBLIC = {
    *("run_linear", "run_embedding", "run_swiglu", "run_scaled_dot_product_attention", "run_multihead_self_attention"),
    *("run_multihead_self_attention_with_rope", "run_rope", "run_transformer_block", "run_transformer_lm"),
    *("run_rmsnorm", "run_silu", "run_softmax", "run_cross_entropy", "run_gradient_clipping", "run_get_batch"),
    *("get_adamw_cls", "run_get_lr_cosine_schedule", "run_save_checkpoint", "run_load_checkpoint", "get_tokenizer"),
    "run_train_bpe",
}
ADAPTERS = (KIT / "adapters.py").read_text("utf-8")


def run(root: Path, **options) -> ExaminationResult:
    return run_tests(locate(root), TESTED, seed=1, isolation=Isolation(Level.PROCESS), **options)


def reported(planned: list[PlannedTest], found: ExaminationResult) -> Report:
    return build_report(
        "x", RUBRIC, TESTED, planned, found.outcomes, {},
        policy={}, seed=1, isolation={}, environment={}, own_adapters=found.own_adapters,
    )  # fmt: skip


def test_the_kits_own_adapters_are_those_beyond_the_public_assignment():
    tree = ast.parse((REFERENCE / "adapters.py").read_text("utf-8"))
    ours = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert ours - PUBLIC == OWN_ADAPTERS
    assert ours >= PUBLIC


def in_process(source: str) -> InProcess:
    module = types.ModuleType("adapters")
    exec(textwrap.dedent(source), vars(module))
    return InProcess(module)


def test_own_adapters_are_known_from_the_module(tmp_path):
    source = "def run_generate(**_): ...\nfrom os import path as run_train\ndef run_softmax(**_): ...\n"
    assert in_process(source).own_adapters == ("run_generate", "run_train")
    with WalledSubmission(locate(written(tmp_path, source))) as submission:
        assert submission.own_adapters == ()
        submission.load()
        assert submission.own_adapters == ("run_generate", "run_train")


@pytest.fixture(scope="module")
def nothing(tmp_path_factory) -> ExaminationResult:
    """What came of a submission whose adapters module is empty."""
    return run(written(tmp_path_factory.mktemp("nothing"), "NOTHING = 0\n"))


def test_no_test_takes_a_missing_adapter_for_an_answer(nothing):
    said = {outcome.id: (outcome.result, outcome.message) for outcome in nothing.outcomes}
    wrong = {test: what for test, what in said.items() if what[0] not in (Result.SKIP, Result.ABSENT)}
    assert not wrong


def test_a_test_that_was_not_run_does_not_turn_on_the_charge(nothing):
    """Whatever comes of tests of own adapters, a solution without any of these adapters is not charged for them."""
    own = next(i for i, test in enumerate(nothing.planned) if test.own_adapter and test.tier is not Tier.ADVICE)
    outcomes = list(nothing.outcomes)
    outcomes[own] = type(outcomes[own])(outcomes[own].id, Result.TIMEOUT, "not run: 3 calls had taken too long")
    found = ExaminationResult(**{**vars(nothing), "outcomes": tuple(outcomes)})
    problem = RUBRIC["training_together"]
    scores = {p.problem.id: p.score for p in reported(list(nothing.planned), found).problems}
    assert (scores[problem.id].status, scores[problem.id].unassessed) == (Status.NOT_PROVIDED, problem.points)


def test_a_copy_of_the_kits_adapters_is_charged_for_what_it_lacks(tmp_path, nothing):
    written(tmp_path, "def run_generate(**_):\n    raise NotImplementedError\n")
    with WalledSubmission(locate(tmp_path)) as submission:
        submission.load()
        found = ExaminationResult(**{**vars(nothing), "own_adapters": submission.own_adapters})
    scores = {p.problem.id: p.score for p in reported(list(nothing.planned), found).problems}
    assert (scores["training_together"].status, scores["training_together"].unassessed) == (Status.NOT_PROVIDED, 0)


def test_a_public_adapters_module_has_no_own_adapter():
    tree = ast.parse(without_own_adapters(ADAPTERS))
    assert {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} == PUBLIC


def test_what_is_half_written_is_todo_and_no_refusal():
    source = """
        class Tokenizer:
            def decode(self, ids):
                if ids == [0]:
                    return "a"
                raise NotImplementedError("unknown ids: later")


        def get_tokenizer(vocab, merges, special_tokens=None):
            return Tokenizer()
    """
    submission = in_process(source)
    with pytest.raises(Todo, match="later"):
        submission.decode_unknown(vocab={0: b"a"}, merges=[], known=[0], unknown=[9])


def test_a_part_that_is_not_provided_is_no_part():
    submission = in_process("def run_num_parameters(config):\n    return 5\n")
    found = submission.accounted(config={}, wanted="num_parameters", options={}, parts={"parameter_counts": {}})
    assert found == {"wanted": 5, "parts": {"parameter_counts": None}}
    with pytest.raises(AdapterMissing, match="run_forward_flops"):
        submission.accounted(config={}, wanted="forward_flops", options={}, parts={})
