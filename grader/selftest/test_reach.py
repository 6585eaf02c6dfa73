"""What a saved file affects, read from the source of a submission."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from grader.report.remembered import Remembered, recall, remember
from grader.rules.reach import Reach, affected, reach_of, state_of
from grader.scoring.points import Status
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import public_solution, written
from grader.submission.files import Files
from grader.submission.locate import locate

RUBRIC = load_rubric()


@pytest.fixture
def solution(tmp_path) -> Path:
    return written(
        tmp_path,
        {
            "adapters.py": """
                import torch

                def run_softmax(in_features, dim):
                    from model.nn import softmax
                    return softmax(in_features, dim)

                def run_silu(in_features):
                    from model.nn import silu
                    return silu(in_features)

                def run_scaled_dot_product_attention(Q, K, V, mask=None):
                    from model.attention import attend
                    return attend(Q, K, V, mask)
            """,
            "model/__init__.py": "",
            "model/nn.py": """
                SCALE = 1.0

                def softmax(x, dim):
                    return SCALE * x.exp() / x.exp().sum(dim)

                def silu(x):
                    return x * x.sigmoid()
            """,
            "model/attention.py": """
                from .nn import softmax
                from . import tables

                def attend(q, k, v, mask):
                    return softmax(q @ k.mT, -1) @ v
            """,
            "model/tables.py": "SIZES = (1, 2)",
        },
    )


def reach(root: Path) -> dict[str, Reach]:
    problems = ("softmax", "scaled_dot_product_attention", "rope")
    return reach_of(locate(root), [RUBRIC[name] for name in problems])


def test_a_changed_function_affects_whoever_reaches_it(solution):
    before = reach(solution)
    path = solution / "model" / "nn.py"
    path.write_text(path.read_text().replace("x.exp().sum(dim)", "x.exp().sum(dim, keepdim=True)"))
    assert affected(["model/nn.py"], before, reach(solution)) == ("softmax", "scaled_dot_product_attention")


def test_a_changed_variable_counts_as_well(solution):
    before = reach(solution)
    path = solution / "model" / "nn.py"
    path.write_text(path.read_text().replace("SCALE = 1.0", "SCALE = 2.0"))
    assert affected(["model/nn.py"], before, reach(solution)) == ("softmax", "scaled_dot_product_attention")


def test_what_a_function_that_has_changed_is_not_reached_from_stays_out(solution):
    before = reach(solution)
    path = solution / "model" / "attention.py"
    path.write_text(path.read_text().replace("q @ k.mT", "k @ q.mT"))
    assert affected(["model/attention.py"], before, reach(solution)) == ("scaled_dot_product_attention",)
    path = solution / "model" / "nn.py"
    before = reach(solution)
    path.write_text(path.read_text().replace("x.sigmoid()", "x.tanh()"))
    after = reach(solution)
    # silu belongs to a problem that is not among these three: then the file as a whole counts.
    assert affected(["model/nn.py"], before, after) == ("softmax", "scaled_dot_product_attention")


def test_a_save_without_a_change_runs_what_has_definitions_there(solution):
    now = reach(solution)
    assert affected(["model/attention.py"], now, now) == ("scaled_dot_product_attention",)


def test_a_file_that_is_only_imported_affects_its_importers(solution):
    now = reach(solution)
    assert affected(["model/tables.py"], now, now) == ("scaled_dot_product_attention",)


def test_a_renamed_function_affects_whoever_reached_it(solution):
    before = reach(solution)
    path = solution / "model" / "nn.py"
    path.write_text(path.read_text().replace("def softmax", "def soft_max"))
    assert affected(["model/nn.py"], before, reach(solution)) == ("softmax", "scaled_dot_product_attention")
    now = reach(solution)  # and still, when that is how it was found
    assert affected(["model/nn.py"], now, now) == ("softmax", "scaled_dot_product_attention")


def test_a_removed_file_affects_whoever_reached_it(solution):
    before = reach(solution)
    (solution / "model" / "attention.py").unlink()
    assert affected(["model/attention.py"], before, reach(solution)) == ("scaled_dot_product_attention",)


def test_what_nothing_reaches_affects_nothing(solution):
    (solution / "notes.py").write_text("x = 1")
    assert affected(["notes.py"], reach(solution), reach(solution)) == ()


def test_an_adapter_affects_its_problem_alone(solution):
    before = reach(solution)
    path = solution / "adapters.py"
    path.write_text(path.read_text().replace("softmax(in_features, dim)", "softmax(in_features, dim=dim)"))
    assert affected(["adapters.py"], before, reach(solution)) == ("softmax",)


def test_of_a_whole_solution_one_layer_affects_what_is_built_of_it(tmp_path):
    root = public_solution(tmp_path / "solution")
    before = reach_of(locate(root), RUBRIC.problems)
    path = root / "cs336_basics" / "layers.py"
    assert "class RMSNorm" in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace("rsqrt(", "rsqrt(1 * "), "utf-8")
    start = time.monotonic()
    found = affected(["cs336_basics/layers.py"], before, reach_of(locate(root), RUBRIC.problems))
    assert time.monotonic() - start < 10  # seconds; a tenth of one, where nothing else runs
    assert found == ("rmsnorm", "transformer_block", "transformer_lm")


def test_the_state_of_the_files_tells_whether_a_result_still_holds(solution):
    files = Files(solution)
    before = {name: state_of(files, found) for name, found in reach(solution).items()}
    path = solution / "model" / "attention.py"
    path.write_text(path.read_text() + "\n# a remark\n")
    after = {name: state_of(files, found) for name, found in reach(solution).items()}
    assert [name for name in before if before[name] != after[name]] == ["scaled_dot_product_attention"]


def test_results_are_kept_and_a_damaged_file_is_none(tmp_path):
    files = Files(tmp_path)
    one = Remembered(Status.PARTIAL, 1.5, 2.0, "17/18", 1e9, "abc")
    assert remember(files, {"rope": one}) == ""
    assert remember(files, {"linear": one}) == ""
    assert recall(files) == {"rope": one, "linear": one}
    kept = tmp_path / ".grader" / "results.json"
    for text in (
        "",
        "[]",
        '{"version": 2}',
        '{"version": 1, "results": {"rope": {"status": "splendid"}}}',
        "[" * 10**5,
    ):
        kept.write_text(text)
        assert recall(files) == {}


def test_what_cannot_be_kept_is_said(tmp_path):
    (tmp_path / ".grader").write_text("a file")
    assert "results.json" in remember(Files(tmp_path), {})
