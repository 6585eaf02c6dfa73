"""The rubric is what the handout says, and a mistake in it is named."""

from __future__ import annotations

import re

import pytest

from grader.rubric import Kind, Policy, RubricError, load_rubric
from grader.runner import KIT, has_tests

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
    assert len(rubric.problems) == 38
    assert sum(problem.points for problem in rubric.problems) == 110


def test_every_code_problem_has_tests():
    untested = [p.id for p in load_rubric().problems if p.kind is Kind.CODE and not has_tests(p)]
    assert not untested


def test_every_test_file_belongs_to_a_problem():
    ids = {problem.id for problem in load_rubric().problems}
    files = {path.stem.removeprefix("test_") for path in (KIT / "tests").glob("test_*.py")}
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
