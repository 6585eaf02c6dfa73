"""Of a problem of which nothing is written each question is asked once; of one that is begun, every test asks.

Of a submission of which most is unwritten, each problem is asked first, by one call for each group of cases.
"""

from __future__ import annotations

import collections
import textwrap
from pathlib import Path

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


MOSTLY_WRITTEN = """
    def helper(): return 1
    def another(): return 2
    def a_third(): return 3
"""


def examined(root: Path, source: str) -> ExaminationResult:
    rubric = load_rubric()
    return run_tests(
        locate(written(root, source)),
        [rubric["linear"], rubric["embedding"]],
        seed=1,
        isolation=Isolation(Level.PROCESS),
        launch=ForkedExaminer,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> ExaminationResult:
    return examined(tmp_path_factory.mktemp("unwritten"), SOURCE)


@pytest.fixture(scope="module")
def found_beside_more(tmp_path_factory) -> ExaminationResult:
    return examined(tmp_path_factory.mktemp("written"), textwrap.dedent(SOURCE) + textwrap.dedent(MOSTLY_WRITTEN))


def todo_in(found: ExaminationResult, problem: str) -> dict[str, list[str]]:
    """{claim: what its tests met that is still to be written}"""
    messages = collections.defaultdict(list)
    for test, outcome in zip(found.planned, found.outcomes, strict=True):
        if test.problem == problem and outcome.result is Result.TODO:
            messages[test.claim].append(outcome.message)
    return messages


def test_what_is_not_written_is_asked_once_for_each_group_of_cases(found):
    todo = todo_in(found, "linear")
    results = {o.result for o in found.outcomes if o.id.startswith("test_linear.py::")}
    assert results == {Result.TODO, Result.SKIP}, "there is no get_linear_module either, which says nothing"
    groups = {case.group for case in stored_cases("linear")}
    assert len(groups) > 3
    met = sorted({message for messages in todo.values() for message in messages})
    first, *others = (f"NotImplementedError: linear: call {i}" for i in (0, *range(len(groups), 20)))
    assert met[0] == first, "every case of every claim has met what the first that was asked has met"
    assert met[1:] == others[: len(met) - 1], "what has no cases is asked, too"
    assert not any(test.fresh for test in found.planned if test.problem == "linear"), "nothing is drawn for it"


def test_what_is_not_written_beside_more_is_asked_for_once_by_each_claim(found_beside_more):
    todo = todo_in(found_beside_more, "linear")
    results = {o.result for o in found_beside_more.outcomes if o.id.startswith("test_linear.py::")}
    assert results == {Result.TODO, Result.SKIP}, "there is no get_linear_module either, which says nothing"
    with_cases = {test.claim for test in found_beside_more.planned if test.fresh and test.problem == "linear"}
    assert len(with_cases) > 3
    for claim in with_cases:
        assert len(todo[claim]) > 1
        assert len(set(todo[claim])) == 1, claim
    assert len({todo[claim][0] for claim in with_cases}) == len(with_cases), "no claim is settled by another"


def test_who_says_at_first_that_nothing_is_written_has_no_case_right(tmp_path):
    groups = {case.group for case in stored_cases("linear")}
    late = f"""
        import itertools

        CALLS = itertools.count()


        def run_linear(d_in, d_out, weights, in_features):
            if next(CALLS) < {len(groups)}:
                raise NotImplementedError("not yet")
            return in_features @ weights.mT
    """
    found = run_tests(
        locate(written(tmp_path, late)), [load_rubric()["linear"]], isolation=Isolation(Level.PROCESS),
        launch=ForkedExaminer,
    )  # fmt: skip
    with_cases = [o for o in found.outcomes if o.id.startswith("test_linear.py::test_matches_reference[")]
    assert with_cases
    assert {outcome.result for outcome in with_cases} == {Result.TODO}


@pytest.mark.parametrize(
    "answer", ["2 * in_features @ weights.mT", "1 / 0", "torch.nn.functional.linear(in_features, weights)"]
)
def test_the_very_first_answer_is_judged_although_nobody_knew_whether_there_is_one(tmp_path, answer):
    """Most is unwritten, so each problem is asked ahead; the first test that asks the same is given that answer."""
    source = f"""
        import itertools

        import torch

        CALLS = itertools.count()


        def run_linear(d_in, d_out, weights, in_features):
            return {answer} if next(CALLS) == 0 else in_features @ weights.mT


        def run_embedding(vocab_size, d_model, weights, token_ids):
            raise NotImplementedError


        def run_rmsnorm(d_model, eps, weights, in_features):
            raise NotImplementedError
    """
    found = examined(tmp_path, source)
    results = {outcome.result for outcome in found.outcomes if outcome.id.startswith("test_linear.py::")}
    if "functional" in answer:
        assert any(use["name"] == "torch.nn.functional.linear" for use in found.uses_seen["linear"])
    else:
        assert results & {Result.FAIL, Result.ERROR}, results
    assert Result.PASS in results


@pytest.mark.parametrize("which", ["found", "found_beside_more"])
def test_what_is_written_in_part_is_asked_for_by_every_test(which, request):
    found = request.getfixturevalue(which)
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
