"""The rubric is what the handout says, and a mistake in it is named."""

from __future__ import annotations

import ast
import re

import pytest

from grader.examination.runner import has_tests
from grader.kit.paths import TESTS
from grader.performance.assess import ON_CPU
from grader.performance.tensor_races import RACES
from grader.performance.text_races import TEXT_RACES
from grader.scoring.rubric import Policy, ProblemKind, RubricError, load_rubric

ASKED = (
    *("unicode1", "unicode2", "tokenizer_experiments", "transformer_accounting", "learning_rate_tuning", "adamw"),
    *("adamw_accounting", "learning_rate_schedule", "gradient_clipping", "data_loading", "checkpointing"),
    *("training_together", "decoding", "experiment_log", "learning_rate", "batch_size_experiment", "generate"),
    *("layer_norm_ablation", "pre_norm_ablation", "no_pos_emb", "swiglu_ablation", "main_experiment", "leaderboard"),
)

MINIMAL = """
base_sections = ["model"]
[sections]
model = "Model"
[[problem]]
id = "rope"
title = "RoPE"
section = "model"
kind = "code"
points = 2
"""


def test_every_problem_of_the_handout_is_there():
    rubric = load_rubric()
    of_the_handout = [problem for problem in rubric.problems if problem.section in rubric.base_sections]
    assert len(of_the_handout) == 38
    assert sum(problem.points for problem in of_the_handout) == 109
    assert rubric.edition == rubric.editions[0] == "26.0.3"


def test_an_older_edition_has_its_own_points():
    older, newest = load_rubric(edition="2025"), load_rubric()
    assert sum(problem.points for problem in older.problems if problem.section in older.base_sections) == 110
    changed = [one.id for one, other in zip(older.problems, newest.problems, strict=True) if one != other]
    assert changed == ["cross_entropy"]
    assert older.edition == "2025"
    with pytest.raises(RubricError, match=re.escape("no edition of the handout is called '2026'")):
        load_rubric(edition="2026")


JUDGES = {"cases", "decisive"}


def test_every_problem_that_is_tried_has_a_claim_that_judges_values():
    """Properties such as "gives integers" hold for many wrong answers; without such a claim they would earn points.

    Each claim about a written answer judges that answer, so that there the rule has nothing to say.
    """
    tried = [
        p.id for p in load_rubric().problems if p.kind in (ProblemKind.CODE, ProblemKind.ARTIFACT) and has_tests(p)
    ]
    assert [problem for problem in tried if not any(judges_values(claim) for claim in core_claims(problem))] == []


def core_claims(problem: str) -> list[ast.FunctionDef]:
    tree = ast.parse((TESTS / f"test_{problem}.py").read_text("utf-8"))
    claims = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return [claim for claim in claims if not marks(claim) & {"edge", "advice"}]


def judges_values(claim: ast.FunctionDef) -> bool:
    return bool(marks(claim) & JUDGES)


def marks(claim: ast.FunctionDef) -> set[str]:
    """The names of a claim's pytest marks."""
    return {
        node.attr
        for decorator in claim.decorator_list
        for node in ast.walk(decorator)
        if isinstance(node, ast.Attribute)
    }


def test_every_claim_says_where_it_is_asked_for():
    silent = [
        f"{problem.id}: {node.name}"
        for problem in load_rubric().problems
        if problem.id in ASKED and has_tests(problem)
        for node in ast.walk(ast.parse((TESTS / f"test_{problem.id}.py").read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and "Asked: " not in (ast.get_docstring(node) or "")
    ]
    assert silent == []


def test_every_race_is_a_problem_of_an_extension_and_the_other_way_round():
    rubric = load_rubric()
    raced = [problem for problem in rubric.problems if problem.kind is ProblemKind.PERFORMANCE]
    assert {problem.id for problem in raced} == {*RACES, *TEXT_RACES}
    assert set(TEXT_RACES) == ON_CPU
    assert not [problem.id for problem in raced if problem.section in rubric.base_sections]


def test_every_code_problem_has_tests():
    untested = [p.id for p in load_rubric().problems if p.kind is ProblemKind.CODE and not has_tests(p)]
    assert not untested


def test_every_test_file_belongs_to_a_problem():
    ids = {problem.id for problem in load_rubric().problems}
    files = {path.stem.removeprefix("test_") for path in (TESTS).glob("test_*.py")}
    assert files <= ids


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (('"rope"', '"rope'), "not valid TOML"),
        (("points = 2", "point = 2"), "unknown key 'point'. Did you mean 'points'?"),
        (("points = 2", "points = -1"), "negative"),
        (("points = 2", 'points = "2"'), "'points' is missing or of the wrong type"),
        (('kind = "code"', 'kind = "cod"'), "Did you mean 'code'?"),
        (('section = "model"', 'section = "modle"'), "Did you mean 'model'?"),
        (("points = 2", 'points = 2\nneeds = ["ropes"]'), "Did you mean 'rope'?"),
        (("points = 2", "points = 2\ncore_share = 0.5"), "core_share must lie between 0.7 and 1"),
        (("points = 2", 'points = 2\npolicy = "zeros"'), "problem 'rope': policy is 'zero' or 'warn', not 'zeros'."),
        (("[sections]", 'policy = "wran"\n[sections]'), "policy is 'zero' or 'warn', not 'wran'. Did you mean 'warn'?"),
        (('base_sections = ["model"]', 'base_sections = ["x"]'), "base section 'x'"),
        (('base_sections = ["model"]\n', ""), "has no 'base_sections'"),
    ],
)
def test_a_mistake_is_named(tmp_path, change, complaint):
    path = tmp_path / "rubric.toml"
    path.write_text(MINIMAL.replace(*change))
    with pytest.raises(RubricError, match=re.escape(complaint)):
        load_rubric(path)


@pytest.mark.parametrize(
    ("common", "own", "policy"),
    [
        ("", "", Policy.ZERO),
        ('policy = "warn"', "", Policy.WARN),
        ('policy = "warn"', 'policy = "zero"', Policy.ZERO),
        ("", 'policy = "warn"', Policy.WARN),
    ],
)
def test_a_problem_may_have_a_policy_of_its_own(tmp_path, common, own, policy):
    path = tmp_path / "rubric.toml"
    path.write_text(f"{common}\n{MINIMAL}{own}\n")
    assert load_rubric(path)["rope"].policy is policy


def test_an_unknown_problem_suggests_the_nearest():
    with pytest.raises(RubricError, match="Did you mean 'softmax'"):
        load_rubric().select(["sofmax"])


def test_selection_keeps_the_order_of_the_rubric():
    assert [p.id for p in load_rubric().select(["softmax", "linear"])] == ["linear", "softmax"]
