"""Wrong code in styles of its own gets the words that are true of it, and right code none."""

from __future__ import annotations

import importlib
import itertools
import math
import re
import time
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from grader.cases.case import Case
from grader.diagnosis.clues import Failure
from grader.diagnosis.hypotheses.asked_call import AskedCall, asked_call
from grader.diagnosis.hypotheses.change import OUTPUT, Change, go_together, widened
from grader.diagnosis.hypotheses.expressions import expressions
from grader.diagnosis.hypotheses.fitted import fitted
from grader.diagnosis.hypotheses.formulas import FORMULAS, space_of
from grader.diagnosis.hypotheses.found import Found
from grader.diagnosis.hypotheses.in_reference import PLANTABLE, looks_ahead, reference_with, shows_all_mistakes
from grader.diagnosis.hypotheses.search import Search, same_everywhere
from grader.diagnosis.hypotheses.wrong_formula import WrongFormula
from grader.diagnosis.own_parts import OwnParts
from grader.diagnosis.planting import planted
from grader.diagnosis.time_limit import OutOfTime, TimeLimit, Work
from grader.scoring.outcome import Outcome, Result
from grader.submission.in_process import InProcess

REFERENCE = importlib.import_module("grader.reference.adapters")


def drawn(operation: str) -> list[dict[str, Any]]:
    return list(FORMULAS.of[operation].draw(torch.Generator().manual_seed(7)))


def said(operation: str, given: dict[str, Any] | None = None, **adapters: Callable[..., Any]) -> str:
    """What is said of a submission whose adapters are the reference's but for these, asked one question."""
    module = types.ModuleType("adapters")
    module.__dict__.update({**vars(REFERENCE), **adapters})
    submission = InProcess(module)
    given = drawn(operation)[0] if given is None else given
    try:
        answer = submission.perform(operation, given)
    except Exception as error:  # what the code raises is an answer, too
        answer = error
    failure = Failure("problem", Outcome("test", Result.FAIL), "test", None, ((operation, given),), (answer,))
    clue = WrongFormula()(failure, submission)
    return " ".join(clue.says) if clue else ""


# ------------------------------------------------------------------------------------------------------------
# Formulas


@pytest.mark.parametrize("operation", FORMULAS.of)
def test_a_formula_without_changes_is_the_reference(operation):
    for given in drawn(operation):
        right = getattr(REFERENCE, operation)(**widened(given))
        torch.testing.assert_close(FORMULAS.evaluate(operation, widened(given))[0], right.detach().double())


def test_steps_of_different_formulas_have_different_names():
    own = {formula.operation: formula.steps for formula in FORMULAS.of.values()}
    del own["run_multihead_self_attention_with_rope"]  # the same formula
    assert sum(map(len, own.values())) == len(FORMULAS.steps)


NOT_DRAWN = {
    # What shows in gradients, in half precision, for further dimensions, or in what no draw can hold.
    "": "gradient rounded beyond overflow NaN",
    "run_softmax": "small",
    "run_cross_entropy": "dimension 1e-20",
    "run_rope": "row",
    "run_scaled_dot_product_attention": "-1000 -10000 -100000 -100 lined",
    "run_multihead_self_attention": "RoPE position positions",  # it is given neither
    "run_multihead_self_attention_with_rope": "sequence 1",  # RoPE does not see where positions begin
    "run_next_token_probabilities": "temperatures",
}


@pytest.mark.parametrize("operation", FORMULAS.of)
def test_every_change_changes_something(operation):
    calls = [AskedCall((operation, given), operation, widened(given), (), 0.0) for given in drawn(operation)]
    idle = [change.words for change in FORMULAS.of[operation].changes if same_everywhere([(), (change,)], calls)]
    words = {*NOT_DRAWN[""].split(), *NOT_DRAWN.get(operation, "").split()}
    assert [clause for clause in idle if not words & set(re.findall(r"[-\w.]+", clause))] == []


# ------------------------------------------------------------------------------------------------------------
# Wrong code


def rmsnorm_by_norm(d_model, eps, weights, in_features):
    return in_features / (torch.linalg.vector_norm(in_features, dim=-1, keepdim=True) / d_model**0.5 + eps) * weights


def rmsnorm_with_two_mistakes(d_model, eps, weights, in_features):
    size = (in_features**2).sum(-1, keepdim=True)
    return in_features / torch.sqrt(size + eps) * (weights + 1)


def swish_gate(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    gate = in_features @ w3_weight.T
    return (gate / (1 + torch.exp(-gate)) * (in_features @ w1_weight.T)) @ w2_weight.T


def complex_rope(sign: int = 1, count: Callable[[torch.Tensor], torch.Tensor] = lambda p: p):
    """In complex numbers, as nothing in the space of changes is written."""

    def rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
        pairs = torch.view_as_complex(in_query_or_key.unflatten(-1, (-1, 2)).contiguous())
        rates = theta ** (-2 * torch.arange(d_k // 2) / d_k)
        turns = torch.polar(torch.ones(()), sign * count(token_positions)[..., None] * rates)
        return torch.view_as_real(pairs * turns).flatten(-2)

    return rope


def attention(scale: Callable[[torch.Tensor], float] = lambda q: q.shape[-1] ** -0.5, closed: float = -math.inf):
    def run_scaled_dot_product_attention(Q, K, V, mask=None):
        scores = torch.einsum("...qd,...kd->...qk", Q, K) * scale(Q)
        if mask is not None:
            scores = torch.where(mask, scores, closed)
        return torch.einsum("...qk,...kd->...qd", F.softmax(scores, -1), V)

    return run_scaled_dot_product_attention


def heads_by_view(d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features):
    batch, seq, _ = in_features.shape
    q, k, v = (
        F.linear(in_features, w).reshape(batch, num_heads, seq, -1)
        for w in (q_proj_weight, k_proj_weight, v_proj_weight)
    )
    heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return F.linear(heads.transpose(1, 2).reshape(batch, seq, d_model), o_proj_weight)


def block_after(d_model, num_heads, d_ff, max_seq_len, theta, weights, in_features):
    """Post-norm, made of the reference's parts."""
    names = {"q_proj_weight": "q_proj", "k_proj_weight": "k_proj", "v_proj_weight": "v_proj"}
    projections = {name: weights[f"attn.{part}.weight"] for name, part in names.items()}
    attended = REFERENCE.run_multihead_self_attention_with_rope(
        d_model, num_heads, max_seq_len, theta, **projections, o_proj_weight=weights["attn.output_proj.weight"],
        in_features=in_features,
    )  # fmt: skip
    y = REFERENCE.run_rmsnorm(d_model, 1e-5, weights["ln1.weight"], in_features + attended)
    fed = REFERENCE.run_swiglu(d_model, d_ff, *(weights[f"ffn.w{i}.weight"] for i in (1, 2, 3)), y)
    return REFERENCE.run_rmsnorm(d_model, 1e-5, weights["ln2.weight"], y + fed)


def loss_with_log2_of_sum(inputs, targets):
    shifted = inputs - inputs.amax(-1, keepdim=True)
    return F.nll_loss(shifted, targets) + shifted.exp().sum(-1).log2().mean()


WRONG = [
    ("run_rmsnorm", rmsnorm_by_norm, "eps is added outside the root"),
    ("run_rmsnorm", rmsnorm_with_two_mistakes, "squares are added up and not averaged"),
    ("run_rmsnorm", rmsnorm_with_two_mistakes, "the gain is 1 + weight"),
    ("run_silu", lambda in_features: 1 / (1 + torch.exp(-in_features)), "the product with x is missing"),
    ("run_swiglu", swish_gate, "SiLU is applied to W3 x and not to W1 x"),
    ("run_softmax", lambda in_features, dim: in_features.flatten().softmax(0).reshape(in_features.shape), "whole"),
    ("run_cross_entropy", lambda inputs, targets: F.cross_entropy(inputs, targets) / math.log(2), "base 2"),
    ("run_cross_entropy", lambda inputs, targets: F.nll_loss(inputs.softmax(-1), targets), "logarithm is left out"),
    ("run_cross_entropy", loss_with_log2_of_sum, "the logarithm of the sum of e^x has base 2"),
    ("run_rope", complex_rope(sign=-1), "turns the other way"),
    ("run_rope", complex_rope(count=lambda p: p + 1), "positions are counted from 1"),
    ("run_rope", complex_rope(-1, lambda p: p + 1), "two mistakes together"),
    ("run_scaled_dot_product_attention", attention(lambda q: 1 / q.shape[-1]), "divided by d_k instead of √d_k"),
    ("run_scaled_dot_product_attention", attention(closed=-10.0), "a score of -10"),
    ("run_scaled_dot_product_attention", attention(lambda q: 1.0, closed=0.0), "two mistakes together"),
    ("run_multihead_self_attention", heads_by_view, "without a transposition, which mixes tokens"),
    ("run_transformer_block", block_after, "post-norm"),
    ("run_embedding", lambda vocab_size, d_model, weights, token_ids: weights[token_ids] * 2 * d_model**0.5, ""),
]


@pytest.mark.parametrize(("operation", "code", "words"), WRONG)
def test_wrong_code_gets_its_words(operation, code, words):
    found = said(operation, **{operation: code})
    assert words in found
    assert found.startswith("Your output is")


def test_a_number_that_nobody_declared_is_not_guessed():
    def scaled(d_in, d_out, weights, in_features):
        return in_features @ weights.T * 1.2345 + in_features.mean()

    assert said("run_linear", run_linear=scaled) == ""


def test_a_loss_that_is_cut_shows_where_one_is_large():
    def cut(inputs, targets):
        return F.cross_entropy(inputs, targets, reduction="none").clamp(max=20).mean()

    large = drawn("run_cross_entropy")[3]
    assert "the loss of each target is cut at 20" in said("run_cross_entropy", large, run_cross_entropy=cut)


def test_code_that_raises_is_explained_by_what_it_gives_elsewhere():
    wide = drawn("run_linear")[0]
    assert wide["weights"].shape[0] != wide["weights"].shape[1]
    found = said("run_linear", wide, run_linear=lambda d_in, d_out, weights, in_features: in_features @ weights)
    assert "x W instead of x Wᵀ" in found
    assert "your code fails" in found


def test_own_parts_that_are_wrong_are_named():
    """Of a kind that no change foresees, used in attention."""

    def rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
        return in_query_or_key.roll(1, -1) + 0.3 * token_positions[..., None].sin()

    formula = FORMULAS.of["run_multihead_self_attention_with_rope"]
    own = Change("run_rope", lambda **given: rope(**given), "")

    def run_multihead_self_attention_with_rope(**given):
        return FORMULAS.evaluate(formula.operation, widened(given), (own,))[0].float()

    found = said(
        formula.operation,
        run_rope=rope,
        run_multihead_self_attention_with_rope=run_multihead_self_attention_with_rope,
    )
    assert "your own `run_rope` in it" in found


def test_gradients_are_explained_too():
    def detached(d_model, eps, weights, in_features):
        return in_features * torch.rsqrt(in_features.detach().square().mean(-1, keepdim=True) + eps) * weights

    given = drawn("run_rmsnorm")[0]
    cotangent = torch.randn(given["in_features"].shape, generator=torch.Generator().manual_seed(0))
    question = {"adapter": "run_rmsnorm", "inputs": given, "wrt": ["in_features"], "cotangent": cotangent}
    assert "no gradient passes the mean square" in said("gradients", question, run_rmsnorm=detached)


def test_a_block_of_ones_own_is_named_inside_of_the_model():
    """It is asked in float32, and so are its weights."""

    def block(weights, in_features, **sizes):
        right = REFERENCE.run_transformer_block(weights=weights, in_features=in_features, **sizes)
        return right + 0.3 * in_features.roll(1, -1).sin()

    own = Change("run_transformer_block", lambda **given: block(**_single(given)).double(), "")

    def run_transformer_lm(**given):
        return FORMULAS.evaluate("run_transformer_lm", widened(given), (own,))[0].float()

    found = said("run_transformer_lm", run_transformer_block=block, run_transformer_lm=run_transformer_lm)
    assert "your own `run_transformer_block` in it" in found


def _single(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _single(item) for name, item in value.items()}
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


# ------------------------------------------------------------------------------------------------------------
# What is kept of one evaluation for the next


@pytest.mark.parametrize("operation", FORMULAS.of)
def test_what_is_kept_changes_no_prediction(operation):
    """Every third change alone, and many pairs: against an evaluation of all steps."""
    given = drawn(operation)[0]
    call = AskedCall((operation, given), operation, widened(given), (), 0.0)
    changes = space_of(operation)
    singles = [(change,) for change in changes[::3]]
    pairs = [(one, other) for one, other in zip(changes, changes[7:], strict=False) if go_together(one, other)]
    seen = 0
    for hypothesis in (*singles, *pairs[::2]):
        try:
            plain = FORMULAS.evaluate(operation, call.given, hypothesis)[0]
        except Exception:  # a change that does not fit these arguments
            continue
        (kept,) = call.predicted(hypothesis)
        assert plain.shape == kept.shape
        assert torch.equal(plain, kept) or plain.isnan().any()
        seen += 1
    assert seen > 5


@pytest.mark.parametrize("operation", ["run_rmsnorm", "run_softmax", "run_scaled_dot_product_attention"])
def test_one_number_refuses_nothing_that_fits(operation):
    """An answer may differ by rounding everywhere, and hold infinities."""
    for given in drawn(operation):
        right = FORMULAS.evaluate(operation, widened(given))[0]
        wobble = torch.randn(right.shape, generator=torch.Generator().manual_seed(3)).clamp(-0.9, 0.9)
        call = asked_call((operation, given), (right * (1 + 9e-5 * wobble.double())).double())
        assert call is not None
        assert call.fits((right,), ())
        assert not call.fits((right * 1.01,), ())


def test_what_was_found_before_is_not_searched_for_again(monkeypatch):
    """A number that no declared change has, found where failures above were to be explained."""
    slower = Change("angles", lambda p, f: 0.37 * p.unsqueeze(-1) * f, "angles are too small")
    given = drawn("run_rope")[0]

    def run_rope(**given):
        return FORMULAS.evaluate("run_rope", widened(given), (slower,))[0].float()

    module = types.ModuleType("adapters")
    module.__dict__.update({**vars(REFERENCE), "run_rope": run_rope})
    submission = InProcess(module)
    answers = (submission.perform("run_rope", given),)
    failure = Failure("rope", Outcome("test", Result.FAIL), "test", None, (("run_rope", given),), answers)
    assert WrongFormula()(failure, submission) is None
    found = WrongFormula([Found({"run_rope": (slower,)})])(failure, submission)
    assert found is not None
    assert found.says == ("Your output is what comes out when angles are too small.",)

    def pairs(search):
        raise AssertionError("all pairs were tried")

    monkeypatch.setattr(Search, "pairs", pairs)
    assert WrongFormula([Found(in_vain=frozenset({"run_rope"}))])(failure, submission) is None


@pytest.mark.parametrize(
    ("operation", "place", "words"),
    [
        ("run_rmsnorm", "mean_square", "a factor of 0.81 is multiplied into the mean of squares"),
        ("run_linear", "product", "a factor of 0.81 is multiplied into W x"),
        (
            "run_scaled_dot_product_attention",
            "scaled",
            "a factor of 0.81 is multiplied into the scaled scores Q Kᵀ / √d_k",
        ),
    ],
)
def test_a_factor_is_read_off_wherever_it_is(operation, place, words):
    """A power of each value, a factor of each, and what goes through a softmax."""
    step = FORMULAS.steps[place]
    scaled = (Change(place, lambda *given: 0.81 * step.does(*given), ""),)
    answered = [(g, FORMULAS.evaluate(operation, widened(g), scaled)[0].float()) for g in drawn(operation)]
    calls = [call for given, answer in answered if (call := asked_call((operation, given), answer)) is not None]
    found = [change.words for change in fitted(calls) if all(call.agrees((change,)) for call in calls)]
    assert words in found


def test_expressions_of_another_shape_are_not_computed():
    """And no other is left out."""
    given = widened(drawn("run_swiglu")[0])
    shape = FORMULAS.evaluate("run_swiglu", given)[0].shape

    def has_shape(change):
        try:
            return change.does(None, given).shape == shape
        except RuntimeError:  # sizes that do not fit
            return False

    every = {change.words for change in expressions(FORMULAS, "run_swiglu", given) if has_shape(change)}
    assert every <= {change.words for change in expressions(FORMULAS, "run_swiglu", given, shape)}
    assert len(list(expressions(FORMULAS, "run_swiglu", given, shape))) < len(
        list(expressions(FORMULAS, "run_swiglu", given))
    )


# ------------------------------------------------------------------------------------------------------------
# Silence


@pytest.mark.parametrize("operation", FORMULAS.of)
def test_nothing_is_said_of_right_answers(operation):
    for given in drawn(operation):
        assert said(operation, given) == ""


HONEST = ["rmsnorm", "softmax", "rope", "cross_entropy", "positionwise_feedforward", "scaled_dot_product_attention"]


@pytest.mark.parametrize("problem", HONEST)
def test_nothing_is_said_of_honest_variants(problem):
    """Whatever their failure is: here, that every call of theirs is said to have failed."""
    operations = {case.operation for case in _cases(problem)} & FORMULAS.of.keys()
    for variant in importlib.import_module(f"grader.selftest.honest.{problem}").VARIANTS:
        with variant.planted():
            submission = InProcess(importlib.import_module("grader.trials.planted"))
            for operation in operations:
                cases = [case for case in _cases(problem) if case.operation == operation][:12]
                for case in cases:
                    try:
                        answer = submission.perform(operation, case.inputs)
                    except Exception as error:  # some take only the usual shapes
                        answer = error
                    outcome, question = Outcome(case.name, Result.FAIL), (operation, case.inputs)
                    failure = Failure(problem, outcome, case.name, case, (question,), (answer,))
                    assert WrongFormula()(failure, submission) is None, (variant.id, case.name)


def _cases(problem: str) -> list[Case]:
    from grader.cases.store import stored_cases

    return stored_cases(problem)


def test_named_bugs_are_left_to_their_names():
    given = drawn("run_silu")[0]
    submission = InProcess(REFERENCE)
    answer = given["in_features"].sigmoid()
    failure = Failure("problem", Outcome("t", Result.FAIL), "t", None, (("run_silu", given),), (answer,), bug="known")
    assert WrongFormula()(failure, submission) is None


def test_a_submission_that_answers_otherwise_when_asked_again_is_not_explained():
    """One whose answer fits a change only on the failing call."""
    given = drawn("run_silu")[0]
    answer = given["in_features"].sigmoid()
    failure = Failure("problem", Outcome("t", Result.FAIL), "t", None, (("run_silu", given),), (answer,))
    assert WrongFormula()(failure, InProcess(REFERENCE)) is None


# ------------------------------------------------------------------------------------------------------------
# Limits


def test_the_search_stops_in_time():
    given = drawn("run_rope")[0]
    wrong = asked_call(("run_rope", given), torch.zeros(2, 5, 8) + 1.23)
    assert wrong is not None
    search = Search(wrong, Work(0))
    assert search.singles(space_of("run_rope")) == []
    assert search.active == []
    assert search.pairs() == []


def test_numbers_are_not_read_off_when_time_is_up():
    given = drawn("run_rope")[0]
    wrong = asked_call(("run_rope", given), FORMULAS.evaluate("run_rope", widened(given))[0].float() * 1.7)
    assert wrong is not None
    assert list(fitted([wrong], Work(1e6)))
    assert list(fitted([wrong], Work(0))) == []


def test_a_slow_machine_finds_what_a_fast_one_finds(monkeypatch):
    """Reports must not depend on what else the machine does: what a search may do is counted in its own steps."""
    fast = said("run_rmsnorm", run_rmsnorm=rmsnorm_with_two_mistakes)
    passed = itertools.count()
    for clock in ("process_time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, clock, lambda: 5e-3 * next(passed))
    assert said("run_rmsnorm", run_rmsnorm=rmsnorm_with_two_mistakes) == fast != ""


def test_work_ends_with_the_larger_one_of_which_it_is_a_part():
    whole = Work(3)
    first = Work(2, whole)
    first.spend(2)
    assert first.is_over
    assert not whole.is_over
    second = Work(2, whole)
    second.spend()
    assert second.is_over
    assert whole.is_over


def loop() -> None:
    while True:  # in Python: what loops in compiled code hears no signal
        pass


def test_what_loops_ends_and_what_waits_ends_later():
    limit = TimeLimit(60)
    with pytest.raises(OutOfTime), limit.within(0.05):
        loop()
    with limit.within(0.05):
        time.sleep(0.1)  # takes no processor time: a busy machine must not end it
    with pytest.raises(OutOfTime), limit.within(0.05):
        time.sleep(30)


@pytest.mark.parametrize(
    "answer", [None, "text", {}, {"output": 1}, [1.0], math.nan, torch.zeros(0), torch.zeros(2, 5)]
)
def test_answers_of_any_kind_are_borne(answer):
    given = drawn("run_silu")[0]
    for operation, arguments in (
        ("run_silu", given),
        ("inputs_after", {"adapter": "run_silu", "inputs": given}),
        (
            "gradients",
            {"adapter": "run_silu", "inputs": given, "wrt": ["in_features"], "cotangent": torch.ones(3, 5)},
        ),
    ):
        failure = Failure("problem", Outcome("t", Result.FAIL), "t", None, ((operation, arguments),), (answer,))
        assert WrongFormula()(failure, InProcess(REFERENCE)) is None


def test_arguments_that_a_formula_refuses_are_borne():
    given = drawn("run_embedding")[0] | {"token_ids": torch.tensor([[999]])}
    assert said("run_embedding", given, run_embedding=lambda **given: torch.zeros(1, 1, 4)) == ""
    assert said("run_embedding", given) == ""


def test_large_outputs_are_not_searched():
    x = torch.zeros(1000, 1000)
    assert asked_call(("run_silu", {"in_features": x}), x) is None


def test_a_change_of_the_output_sees_the_arguments():
    given = widened(drawn("run_silu")[0])
    added = Change(OUTPUT, lambda output, given: output + given["in_features"], "the input is added")
    x = given["in_features"]
    torch.testing.assert_close(FORMULAS.evaluate("run_silu", given, (added,))[0], F.silu(x) + x)


# ------------------------------------------------------------------------------------------------------------
# In the place of the reference


def change_of(operation: str, words: str) -> tuple[Change, ...]:
    (found,) = (change for change in space_of(operation) if change.words == words)
    return (found,)


WITH_ROPE = "run_multihead_self_attention_with_rope"


@pytest.mark.parametrize(
    ("part", "words", "whole", "shows"),
    [
        ("run_rope", "RoPE turns the other way: the minus sign is at the wrong sine", WITH_ROPE, True),
        ("run_scaled_dot_product_attention", "the scores are divided by d_k instead of √d_k", WITH_ROPE, True),
        # What is asked of the whole leaves no trace behind such a part.
        ("run_rope", "the output is halved", "run_silu", False),
        ("run_scaled_dot_product_attention", "the mask is always causal, whatever mask is given", WITH_ROPE, False),
        ("run_rmsnorm", "x is ignored: ones stand in its place", "run_transformer_lm", False),
    ],
)
def test_a_part_must_not_do_the_work_of_the_whole(part, words, whole, shows):
    assert shows_all_mistakes(whole, {part: change_of(part, words)}) is shows


@pytest.mark.parametrize("operation", PLANTABLE)
def test_a_planted_formula_is_the_reference_but_for_its_changes(operation):
    """Also beside gradients: what stands above is asked for them."""
    submission = InProcess(REFERENCE)
    for given in drawn(operation):
        right = submission.perform(operation, given)
        with planted([reference_with({operation: ()}, "problem")]):
            torch.testing.assert_close(submission.perform(operation, given), right, rtol=1e-4, atol=1e-5)


def test_a_number_is_read_off_the_answers():
    slower = (Change("angles", lambda p, f: 0.37 * p.unsqueeze(-1) * f, ""),)
    answered = [(g, FORMULAS.evaluate("run_rope", widened(g), slower)[0].float()) for g in drawn("run_rope")]
    calls = [call for given, answer in answered if (call := asked_call(("run_rope", given), answer)) is not None]
    found = [change for change in fitted(calls) if all(call.agrees((change,)) for call in calls)]
    assert any(change.words == "a factor of 0.37 is multiplied into the angles" for change in found)


def test_a_model_that_sees_later_tokens_measures_no_learning():
    open_to_all = change_of(WITH_ROPE, "there is no causal mask: every token sees later ones")
    assert looks_ahead({WITH_ROPE: open_to_all})
    assert not looks_ahead({"run_rope": change_of("run_rope", "positions are counted from 1: every one is 1 too high")})


def test_a_loop_is_measured_with_a_part_that_has_no_name():
    slower = {"run_rope": (Change("angles", lambda p, f: 0.37 * p.unsqueeze(-1) * f, ""),)}
    reference = InProcess(REFERENCE)

    def own(operation, arguments):
        with planted([reference_with(slower, "rope")]):
            return reference.perform(operation, arguments)

    parts = OwnParts(own, reference.perform)
    assert [bug.problem for bug in parts.known_bugs] == ["rope"]
    assert not parts._is_of_unknown_kind
