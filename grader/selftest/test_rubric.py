"""The rubric is what the handout says, and a mistake in it is named."""

from __future__ import annotations

import re

import pytest

from grader.kit.paths import TESTS
from grader.performance.assess import ON_CPU
from grader.performance.tensor_races import RACES
from grader.performance.text_races import TEXT_RACES
from grader.scoring.rubric import Policy, ProblemKind, RubricError, load_rubric

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
    found = len(of_the_handout), sum(problem.points for problem in of_the_handout)
    assert found == (38, 109), "a problem that the public handout lacks goes into a section that is no base section"
    assert rubric.edition == rubric.editions[0] == "26.0.3"


def test_an_older_edition_has_its_own_points():
    older, newest = load_rubric(edition="2025"), load_rubric()
    pairs = zip(older.problems, newest.problems, strict=True)
    assert [(one.id, one.points, other.points) for one, other in pairs if one != other] == [("cross_entropy", 2, 1)]
    assert older.edition == "2025"
    with pytest.raises(RubricError, match=re.escape("no edition of the handout is called '2026'")):
        load_rubric(edition="2026")


def test_every_race_is_a_problem_of_an_extension_and_the_other_way_round():
    rubric = load_rubric()
    raced = [problem for problem in rubric.problems if problem.kind is ProblemKind.PERFORMANCE]
    assert {problem.id for problem in raced} == {*RACES, *TEXT_RACES}
    assert set(TEXT_RACES) == ON_CPU
    assert not [problem.id for problem in raced if problem.section in rubric.base_sections]


def test_every_test_file_belongs_to_a_problem():
    ids = {problem.id for problem in load_rubric().problems}
    files = {path.stem.removeprefix("test_") for path in TESTS.glob("test_*.py")}
    assert files <= ids


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (('"rope"', '"rope'), "not valid TOML"),
        (("points = 2", "point = 2"), "unknown key 'point'. Did you mean 'points'?"),
        (("points = 2", "points = -1"), "negative"),
        (("points = 2", 'points = "2"'), "rubric.toml, problem 'rope': points is '2', and must be a number"),
        (("points = 2\n", ""), "rubric.toml, problem 'rope': 'points' is missing"),
        (("points = 2", 'points = 2\none_bug = "half"'), "problem 'rope': one_bug is 'half', and must be a number"),
        (("points = 2", "points = 2\none_bug = 1.5"), "problem 'rope': one_bug must be above 0 and at most 1"),
        (("points = 2", "points = nan"), "problem 'rope': points is nan, and must be a number"),
        (("points = 2", "points = 2\ncall_limit_s = true"), "call_limit_s is True, and must be a number"),
        (("points = 2", 'points = 2\nneeds = "linear"'), "needs is 'linear', and must be a list of strings"),
        (("points = 2", "points = 2\nneeds = [1]"), "needs is [1], and must be a list of strings"),
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
