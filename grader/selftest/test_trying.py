"""What is planted into the reference explains an answer if it gives just that, and right code clearly does not."""

from __future__ import annotations

import importlib
import math
from typing import Any

import pytest
import torch

from grader.diagnosis.fingerprint import apart, fingerprint_transcript
from grader.diagnosis.hypotheses import in_reference
from grader.diagnosis.hypotheses.change import Change
from grader.diagnosis.hypotheses.formulas import FORMULAS
from grader.diagnosis.hypotheses.in_reference import PLANTABLE, reference_with
from grader.diagnosis.known_bugs import alike, load_known_bugs
from grader.diagnosis.planting import planted
from grader.diagnosis.time_limit import TimeLimit
from grader.diagnosis.trying import Trying, Wrong
from grader.misconceptions.catalogue import load_catalogue
from grader.submission.given_weights import GivenWeights
from grader.submission.in_process import InProcess

REFERENCE = importlib.import_module("grader.reference.adapters")
BLOCK, ATTENTION = "run_transformer_block", "run_scaled_dot_product_attention"
ROUNDING = 1e-6


def scaled_by(factor: float) -> Any:
    """The reference whose attention multiplies the scores by one more number."""
    change = Change("scaled", lambda scores, Q, *_: factor * scores / math.sqrt(Q.shape[-1]), "")
    return reference_with({ATTENTION: (change,)}, "scaled_dot_product_attention")


def question(place: int = 0) -> tuple[str, dict[str, Any]]:
    given = FORMULAS.of[BLOCK].draw(torch.Generator().manual_seed(3))[place]
    return BLOCK, given


def answered(*bugs: Any, asked: tuple[str, dict[str, Any]]) -> torch.Tensor:
    with planted(bugs):
        return REFERENCE.run_transformer_block(**asked[1]).detach()


def rounded(answer: torch.Tensor, by: float = ROUNDING) -> torch.Tensor:
    noise = torch.rand(answer.shape, generator=torch.Generator().manual_seed(5)) - 0.5
    return answer * (1 + 2 * by * noise)


def failing(answer: Any, asked: tuple[str, dict[str, Any]], test: str = "claim[case]", **more: Any) -> Wrong:
    return Wrong(test, False, (asked,), fingerprint_transcript([answer]), values=[answer], **more)


@pytest.fixture
def trying() -> Trying:
    return Trying((), TimeLimit(20.0))


LITTLE = scaled_by(1.0002)


def test_a_bug_that_shows_little_is_seen(trying):
    """By the fingerprints, the answer might be the right one, too; the tests refuse it all the same."""
    asked = question()
    right, wrong = answered(asked=asked), answered(LITTLE, asked=asked)
    assert apart(right, wrong) > 2e-5
    assert alike(fingerprint_transcript([right]), fingerprint_transcript([wrong]))
    assert trying.shows([LITTLE], failing(rounded(wrong), asked))


def test_right_answers_that_are_known_are_not_asked_for(trying):
    asked = question()
    wrong = answered(LITTLE, asked=asked)
    assert not trying.shows([LITTLE], failing(wrong, asked, right=lambda: [rounded(wrong)]))
    assert trying.shows([LITTLE], failing(wrong, asked, right=lambda: [answered(asked=asked)]))


@pytest.mark.parametrize("factor", [1 + 3e-5, 1 - 3e-5])
def test_another_mistake_of_the_same_size_is_no_proof_of_a_bug(trying, factor):
    asked = question()
    answer = factor * answered(asked=asked)
    assert alike(fingerprint_transcript([answer]), fingerprint_transcript([answered(LITTLE, asked=asked)]))
    assert not trying.shows([LITTLE], failing(answer, asked))


def test_another_mistake_beside_a_bug_is_not_excused(trying):
    asked, bug = question(), scaled_by(1.1)
    wrong = answered(bug, asked=asked)
    assert trying.shows([bug], failing(rounded(wrong), asked))
    assert not trying.shows([bug], failing(1.001 * wrong, asked))


def test_a_claim_is_lost_with_its_smallest_case(trying):
    """What its other cases would be is nobody's business then, and costs nothing."""
    bug = scaled_by(1.1)
    small, large = sorted([question(0), question(1)], key=lambda asked: asked[1]["in_features"].numel())
    of_small, of_large = answered(bug, asked=small), answered(bug, asked=large)
    wrong = [
        failing(of_large, large, "one[large]"),
        failing(2 * of_small, small, "one[small]"),
        failing(of_small, small, "other[small]"),
        failing(of_large, large, "other[large]"),
    ]
    assert [entry.test for entry in trying.shown_by([bug], wrong)] == ["other[small]", "other[large]"]


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        (torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.0]), 0.0),
        (torch.tensor([1.0, 1.0]), torch.tensor([1.0, 1.5]), 0.25),
        ({"a": 1.0, "b": [2.0]}, {"a": 1.0, "b": [3.0]}, 0.25),
        (torch.tensor([1.0]), torch.tensor([1.0, 1.0]), math.inf),
        (torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64), math.inf),
        (torch.tensor([1.0, math.inf]), torch.tensor([1.0, math.inf]), 0.0),
        (torch.tensor([1.0, math.nan]), torch.tensor([1.0, math.nan]), 0.0),
        (torch.tensor([1.0, math.inf]), torch.tensor([1.0, 2.0]), math.inf),
        (torch.tensor([0.0]), torch.tensor([0.0]), 0.0),
        ([1, 2], [1, 3], math.inf),
        ("text", "text", 0.0),
        (ValueError("size"), ValueError("size"), 0.0),
        (ValueError("size"), 1.0, math.inf),
    ],
)
def test_distance_of_answers(one, other, distance):
    assert apart(one, other) == pytest.approx(distance)
    assert (apart(other, one) == 0.0) == (distance == 0.0)


def test_first_weights_that_are_overwritten_are_not_drawn():
    spared, plain = GivenWeights(REFERENCE), InProcess(REFERENCE)
    before = torch.random.get_rng_state()
    answers = [submission.perform(*question()) for submission in (spared, plain)]
    torch.testing.assert_close(*answers, rtol=0, atol=0)
    assert not torch.equal(before, torch.random.get_rng_state())  # the plain one drew
    torch.random.set_rng_state(before)
    spared.perform(*question())
    spared.perform("inputs_after", {"adapter": BLOCK, "inputs": question()[1]})
    assert torch.equal(before, torch.random.get_rng_state())


def test_first_weights_that_are_asked_for_are_drawn():
    weights, x = torch.ones(3, 4), torch.ones(2, 4)
    inputs = {"d_in": 4, "d_out": 3, "weights": weights, "in_features": x}
    about = {"adapter": "run_linear", "inputs": inputs, "seed": 1}
    (made, *_) = GivenWeights(REFERENCE).perform("new_parameters", about)
    assert all(value.all() and value.std() > 0 for value in made["parameters"].values()), made


@pytest.mark.parametrize("operation", PLANTABLE)
def test_a_formula_that_is_large_gives_the_same_in_less_precision(operation, monkeypatch):
    """Also where one of its steps is exact, and gives more than the next one takes."""
    monkeypatch.setattr(in_reference, "_LARGE", 0)
    given = FORMULAS.of[operation].draw(torch.Generator().manual_seed(7))[0]
    right = getattr(REFERENCE, operation)(**given)
    with planted([reference_with({operation: ()}, "problem")]):
        torch.testing.assert_close(getattr(REFERENCE, operation)(**given), right, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------
# What has to be opened first

SHORTER_FIRST = "tokenizer-shorter-special-token-first"
TABLES = {"vocab": {i: bytes([i]) for i in range(256)} | {256: b"<|a|>", 257: b"<|a|>b"}, "merges": []}
OPENED = ("open_tokenizer", {**TABLES, "special_tokens": ["<|a|>", "<|a|>b"]})


TEXT = "x<|a|>by"


def encodes(handle: int, text: str = TEXT) -> tuple[str, dict[str, Any]]:
    return "tokenizer_encode", {"handle": handle, "text": text}


def answers_of_a_submission_with(bug: str, text: str = TEXT) -> list[Any]:
    """Of one that has opened other tokenizers before."""
    (known,) = (known for known in load_catalogue("tokenizer") if known.id == bug)
    submission = GivenWeights(REFERENCE)
    for _ in range(3):
        submission.perform(*OPENED)
    with planted([known]):
        submission.begin_transcript()
        submission.perform(*encodes(submission.perform(*OPENED), text))
    return list(submission.transcript or [])


@pytest.fixture
def knowing() -> Trying:
    return Trying([known for known in load_known_bugs() if known.id == SHORTER_FIRST], TimeLimit(20.0))


def test_what_a_test_opened_is_opened_again(knowing):
    answers = answers_of_a_submission_with(SHORTER_FIRST)
    entry = Wrong("claim[case]", True, (OPENED, encodes(4)), fingerprint_transcript(answers), values=answers)
    assert knowing.explain("tokenizer", [entry], [[SHORTER_FIRST]])["claim[case]"].bug == SHORTER_FIRST


def test_nothing_is_said_of_what_was_opened_before_the_test(knowing):
    """A handle of another process is none here, which must not look like a KeyError of the submission's."""
    entry = Wrong("claim[case]", True, (encodes(4),), fingerprint_transcript([KeyError(b"<|pad|>")]))
    assert knowing.explain("tokenizer", [entry], [[SHORTER_FIRST]]) == {}


def test_where_the_smallest_question_of_no_claim_is_answered_so_the_larger_ones_are_left(knowing):
    """What is wrong there beside the bug is wrong in all of them; else one after the other would be asked in vain."""

    def entry(test: str, text: str, given: bool) -> Wrong:
        answers = answers_of_a_submission_with(SHORTER_FIRST, text) if given else [7, [1, 2]]
        asked = (OPENED, encodes(4, text))
        return Wrong(test, False, asked, fingerprint_transcript(answers))

    large, small, other = entry("a[large]", 9 * TEXT, True), entry("a[small]", TEXT, False), entry("b[]", TEXT, True)
    assert knowing.explain("tokenizer", [large, small], [[SHORTER_FIRST]]) == {}
    assert knowing.explain("tokenizer", [large, small, other], [[SHORTER_FIRST]]).keys() == {"a[large]", "b[]"}
