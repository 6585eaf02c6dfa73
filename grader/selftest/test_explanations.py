"""From a wrong submission, behind the wall, to the words in its report and the points it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from grader.grading import grade
from grader.misconceptions.catalogue import load_catalogue
from grader.report.model import ProblemReport, Report
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import public_solution, with_bug, written

RUBRIC = load_rubric()


def graded(folder: Path, bug: str, *problems: str) -> tuple[Report, dict[str, ProblemReport]]:
    report = grade(str(with_bug(folder / bug, bug)), RUBRIC, RUBRIC.select(problems), isolation="process", jobs=1)
    return report, {problem.problem.id: problem for problem in report.problems}


def named(problem: ProblemReport) -> set[str]:
    """Ids of the bugs that explain failures of a problem."""
    return {test.bug.id for test in problem.tests if test.bug}


CHEAP = ["rmsnorm", "softmax", "rope", "cross_entropy", "adamw", "gradient_clipping", "learning_rate_schedule"]


"""Problems of which none builds on another."""


def bug_of(problem: str, which: str) -> str:
    """The first one of the catalogue or the middle one; the kill matrix has them all, in process."""
    bugs = load_catalogue(problem)
    return bugs[0 if which == "first" else len(bugs) // 2].id


@pytest.fixture(scope="module", params=["first", "middle"])
def one_each(request, tmp_path_factory) -> tuple[str, dict[str, ProblemReport]]:
    """Which bugs, and what came of a submission that has that one of each of the cheap problems."""
    bugs = [bug_of(problem, request.param) for problem in CHEAP]
    root = with_bug(tmp_path_factory.mktemp(request.param) / "bugs", *bugs)
    report = grade(str(root), RUBRIC, RUBRIC.select(CHEAP), isolation="process", jobs=1)
    return request.param, {problem.problem.id: problem for problem in report.problems}


@pytest.mark.parametrize("problem", CHEAP)
def test_a_bug_of_the_catalogue_is_named(one_each, problem):
    which, problems = one_each
    bug = bug_of(problem, which)
    assert named(problems[problem]) == {bug}
    explained = [test for test in problems[problem].as_json()["tests"] if test["misconception"]]
    assert explained[0]["misconception"]["id"] == bug
    assert explained[0]["misconception"]["diagnosis"]


def test_a_bug_is_named_in_a_public_solution_too(tmp_path):
    """It lacks the kit's own adapters, and so the tests that need them, which the bug would fail as well."""
    root = written(
        tmp_path,
        {
            "tests/adapters.py": """
                def run_embedding(vocab_size, d_model, weights, token_ids):
                    return weights[token_ids - 1]
            """
        },
    )
    report = grade(str(root), RUBRIC, RUBRIC.select(["embedding"]), isolation="process", jobs=1)
    assert named(report.problems[0]) == {"embedding-counts-from-one"}


def test_fresh_inputs_are_explained_too(tmp_path):
    _, problems = graded(tmp_path, "rmsnorm-eps-outside-root", "rmsnorm")
    fresh = [test for test in problems["rmsnorm"].tests if test.plan.fresh and test.outcome.result == "fail"]
    assert fresh
    assert all(test.bug and test.bug.id == "rmsnorm-eps-outside-root" for test in fresh)


def test_one_bug_costs_once(tmp_path):
    bug = "rope-halves-instead-of-pairs"
    _, problems = graded(tmp_path, bug, "rope", "multihead_self_attention", "transformer_block", "transformer_lm")
    assert problems["rope"].score.earned < problems["rope"].problem.points
    for name in ("multihead_self_attention", "transformer_block", "transformer_lm"):
        problem = problems[name]
        assert problem.score.earned == problem.problem.points, name
        assert named(problem) == {bug}, name
        assert problem.blocked_by, name


def test_a_bug_that_raises_costs_once(tmp_path):
    """Also on fresh inputs, where nothing but the exception can be compared."""
    bug = "rope-one-dimensional-positions-only"
    _, problems = graded(tmp_path, bug, "rope", "multihead_self_attention", "transformer_block")
    assert problems["rope"].score.earned < problems["rope"].problem.points
    attention = problems["multihead_self_attention"]
    assert any(test.outcome.result == "error" and test.plan.fresh for test in attention.tests)
    assert attention.score.earned == attention.problem.points
    assert named(attention) == {bug}


POSITIONS_NONE_IS_NO_ROPE = """
    import grader.reference.adapters as right

    def run_rope(theta, **given):
        return right.run_rope(theta=10000.0, **given)

    def run_multihead_self_attention(**given):
        return right.run_multihead_self_attention(**given)

    def run_multihead_self_attention_with_rope(token_positions, max_seq_len, theta, **given):
        if token_positions is None:
            return right.run_multihead_self_attention(**given)
        return right.run_multihead_self_attention_with_rope(
            token_positions=token_positions, max_seq_len=max_seq_len, theta=theta, **given
        )
"""


def test_what_passes_speaks_against_a_bug_beside_one_below(tmp_path):
    """RoPE has a known bug, and positions of None turn nothing: that does not mean that RoPE is never applied."""
    root = written(tmp_path, {"tests/adapters.py": POSITIONS_NONE_IS_NO_ROPE})
    wanted = RUBRIC.select(["rope", "multihead_self_attention"])
    report = grade(str(root), RUBRIC, wanted, isolation="none", jobs=1)  # in a process that has planted nothing yet
    rope, attention = report.problems
    assert named(rope) == {"rope-ignores-theta"}
    assert [test.plan.claim.partition("::")[2] for test in attention.advice] == ["test_no_positions"]
    assert named(attention) == set(), [(t.plan.id, t.outcome) for t in attention.tests if t.outcome.result != "pass"]


def test_two_bugs_cost_once_each(tmp_path):
    """What they do together is in no store of evidence; planted together into the reference, they give it."""
    root = with_bug(tmp_path / "bugs", "rope-halves-instead-of-pairs", "rmsnorm-eps-outside-root")
    wanted = ["rmsnorm", "rope", "multihead_self_attention", "transformer_block", "transformer_lm"]
    report = grade(str(root), RUBRIC, RUBRIC.select(wanted), isolation="process", jobs=1)
    problems = {problem.problem.id: problem for problem in report.problems}
    assert named(problems["rmsnorm"]) == {"rmsnorm-eps-outside-root"}
    assert named(problems["rope"]) == {"rope-halves-instead-of-pairs"}
    for name in ("transformer_block", "transformer_lm"):
        failing = [test for test in problems[name].tests if test.outcome.result != "pass"]
        assert len(failing) > 10
        assert sum(test.carried for test in failing) > 0.9 * len(failing), [t.plan.id for t in failing if not t.carried]


def test_a_bug_is_named_over_another_below_it(tmp_path):
    """Together they give what neither has in store; the model above them keeps its points."""
    rope, block = "rope-halves-instead-of-pairs", "block-post-norm"
    root = with_bug(tmp_path / "bugs", rope, block)
    wanted = ["rope", "multihead_self_attention", "transformer_block", "transformer_lm"]
    report = grade(str(root), RUBRIC, RUBRIC.select(wanted), isolation="process", jobs=1)
    problems = {problem.problem.id: problem for problem in report.problems}
    assert named(problems["rope"]) == {rope}
    assert block in named(problems["transformer_block"])
    assert problems["transformer_block"].score.earned < problems["transformer_block"].problem.points
    failing = [test for test in problems["transformer_lm"].tests if test.outcome.result != "pass"]
    assert sum(test.carried for test in failing) > 0.9 * len(failing)


# ------------------------------------------------------------------------------------------------------------
# Bugs without a name

ROPE_TURNS_TOO_LITTLE = {"angles = torch.outer(": "angles = 0.37 * torch.outer("}
A_SCALE_OF_ITS_OWN = {"(Q / math.sqrt(Q.shape[-1])) @ K": "(Q * 0.29) @ K"}


def changed(folder: Path, file: str, changes: Mapping[str, str]) -> Path:
    """A public solution in which some text of one file is another."""
    path = public_solution(folder) / "cs336_basics" / file
    source = path.read_text("utf-8")
    for old, new in changes.items():
        assert source.count(old) == 1
        source = source.replace(old, new)
    path.write_text(source, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("wrong", "file", "changes"),
    [
        ("rope", "rope.py", ROPE_TURNS_TOO_LITTLE),
        ("scaled_dot_product_attention", "attention.py", A_SCALE_OF_ITS_OWN),
    ],
)
def test_a_bug_without_a_name_costs_once(tmp_path, wrong, file, changes):
    wanted = [wrong, "multihead_self_attention", "transformer_block", "transformer_lm"]
    root = changed(tmp_path / "solution", file, changes)
    report = grade(str(root), RUBRIC, RUBRIC.select(wanted), isolation="process", jobs=1)
    problems = {problem.problem.id: problem for problem in report.problems}
    assert problems[wrong].score.earned < problems[wrong].problem.points
    for name in wanted:
        assert named(problems[name]) == set(), name
    for name in wanted[1:]:
        problem = problems[name]
        assert problem.score.earned == problem.problem.points, name
        assert problem.blocked_by == (wrong,), name
        assert problem.remark == f"carried forward from {wrong}"


def test_another_mistake_above_a_bug_without_a_name_costs_what_it_costs(tmp_path):
    root = changed(tmp_path / "solution", "rope.py", ROPE_TURNS_TOO_LITTLE)
    path = root / "cs336_basics" / "attention.py"
    source = path.read_text("utf-8")
    only_queries = source.replace("q, k = self.rope(q, token_positions), self.rope(k, token_positions)",
                                  "q = self.rope(q, token_positions)")  # fmt: skip
    assert source != only_queries
    path.write_text(only_queries, "utf-8")
    wanted = RUBRIC.select(["rope", "multihead_self_attention"])
    report = grade(str(root), RUBRIC, wanted, isolation="process", jobs=1)
    attention = report.problems[1]
    assert not any(test.carried for test in attention.tests)
    assert attention.score.earned < attention.problem.points
