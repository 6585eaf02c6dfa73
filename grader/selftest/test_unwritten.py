"""Of a problem of which nothing is written each question is asked once; of one that is begun, every test asks."""

from __future__ import annotations

import collections

import pytest
import torch

from grader.cases.assets import Recipe
from grader.cases.store import fresh_cases, stored_cases
from grader.examination.runner import ExaminationResult, run_tests
from grader.scoring.outcome import Result
from grader.scoring.rubric import load_rubric
from grader.selftest.forked import ForkedExaminer
from grader.selftest.layouts import written
from grader.submission.locate import locate
from grader.wall.isolation import Isolation, Level

SOURCE = """
    import itertools

    CALLS = itertools.count()


    def run_linear(d_in, d_out, weights, in_features):
        raise NotImplementedError(f"linear: call {next(CALLS)}")


    def run_embedding(vocab_size, d_model, weights, token_ids):
        if token_ids.ndim != 2:
            raise NotImplementedError(f"embedding: call {next(CALLS)}")
        return weights[token_ids]
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> ExaminationResult:
    rubric = load_rubric()
    return run_tests(
        locate(written(tmp_path_factory.mktemp("unwritten"), SOURCE)),
        [rubric["linear"], rubric["embedding"]],
        seed=1,
        isolation=Isolation(Level.PROCESS),
        launch=ForkedExaminer,
    )


def todo_in(found: ExaminationResult, problem: str) -> dict[str, list[str]]:
    """{claim: what its tests met that is still to be written}"""
    messages = collections.defaultdict(list)
    for test, outcome in zip(found.planned, found.outcomes, strict=True):
        if test.problem == problem and outcome.result is Result.TODO:
            messages[test.claim].append(outcome.message)
    return messages


def test_what_is_not_written_is_asked_for_once_by_each_claim(found):
    todo = todo_in(found, "linear")
    results = {o.result for o in found.outcomes if o.id.startswith("test_linear.py::")}
    assert results == {Result.TODO, Result.SKIP}, "there is no get_linear_module either, which says nothing"
    with_cases = {test.claim for test in found.planned if test.fresh and test.problem == "linear"}
    assert len(with_cases) > 3
    for claim in with_cases:
        assert len(todo[claim]) > 1
        assert len(set(todo[claim])) == 1, claim
    assert len({todo[claim][0] for claim in with_cases}) == len(with_cases), "no claim is settled by another"


def test_what_is_written_in_part_is_asked_for_by_every_test(found):
    messages = [message for group in todo_in(found, "embedding").values() for message in group]
    assert len(messages) > 3
    assert len(messages) == len(set(messages))
    assert any(o.result is Result.PASS for o in found.outcomes if o.id.startswith("test_embedding.py::"))


def test_what_nobody_asks_for_is_not_drawn(monkeypatch):
    drawn: list[Recipe] = []
    usual = Recipe.tensor

    def tensor(recipe: Recipe) -> torch.Tensor:
        drawn.append(recipe)
        return usual(recipe)

    monkeypatch.setattr(Recipe, "tensor", tensor)
    cases = [*stored_cases("linear"), *fresh_cases("linear", 1, lambda *_: None)]
    assert not drawn
    first = [case.inputs for case in cases]
    assert drawn
    once = len(drawn)
    assert all(case.inputs is inputs for case, inputs in zip(cases, first, strict=True))
    assert len(drawn) == once
