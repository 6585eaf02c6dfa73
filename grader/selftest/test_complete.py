"""What a new problem needs is said, one thing after the other; and every problem of the rubric has all of it."""

from __future__ import annotations

from grader.kit.paths import KIT
from grader.scoring.rubric import load_rubric
from grader.selftest.complete import Tree, missing


def test_every_problem_of_the_rubric_is_complete():
    tree = Tree(KIT)
    assert {p.id: lacks for p in load_rubric().problems if (lacks := missing(tree, p.id))} == {}
