"""Decoding: the distribution of the next token, and sequences drawn from it.

Sequences come from models that are nothing but tables, so their distributions are known exactly. Greedy ones are
compared token by token; random ones by their frequencies, with limits so wide that a right sampler misses one less
than once in ten million runs.

How many tokens come back, and that the prompt is not among them, is one claim. All others take the new tokens as they
come, and compare only what there is.
"""

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare
from grader.cases.weights import draw_weights, lm_shapes
from grader.checks.frequencies import check_frequencies
from grader.checks.untouched import inputs_after

pytestmark = pytest.mark.own_adapter

# The tokens' probabilities at temperature 1, most probable first. Those that a temperature and a top_p leave are far
# from the border: 0.7 and 0.9 for top_p = 0.85, say.
PROFILE = torch.tensor([0.40, 0.30, 0.20, 0.06, 0.04], dtype=torch.float64)
COIN = torch.tensor([0.3, 0.25, 0.2, 0.15, 0.1], dtype=torch.float64)
VOCAB_SIZE = len(PROFILE)


def known_chain(draw):
    """Tables of a model whose next token depends on the last one only, and which tokens come in which order of rank.

    Every token is followed by every other one with one of the profile's probabilities, so that in the long run all
    tokens are equally frequent.
    """
    order = draw.uniform(VOCAB_SIZE).argsort()
    ranked = torch.stack([order.roll(i) for i in range(VOCAB_SIZE)])
    logits = torch.empty(VOCAB_SIZE, VOCAB_SIZE).scatter_(1, ranked, PROFILE.log().float().expand(VOCAB_SIZE, -1))
    return {"last": logits}, ranked


def known_coin():
    """Tables of a model whose tokens do not depend on each other."""
    return {"last": COIN.log().float().expand(VOCAB_SIZE, -1).clone()}


def count_pairs(first, second):
    """How often each token of `second` came beside each of `first`, as [VOCAB_SIZE, VOCAB_SIZE]."""
    return torch.bincount(first.flatten() * VOCAB_SIZE + second.flatten(), minlength=VOCAB_SIZE**2).view(VOCAB_SIZE, -1)


def new_tokens(prompt, sequence, count):
    """At most `count` tokens that were generated, without the prompt where it was returned in front of them."""
    returned = len(sequence) > count and sequence[: len(prompt)] == prompt
    return sequence[len(prompt) :][:count] if returned else sequence[:count]


def check_tokens(submission, case, found):
    """The new tokens are the expected ones, as far as they go, and as many as come in any other case."""
    prompts, count = case.inputs["prompts"], case.inputs["max_new_tokens"]
    others = [[0] * len(prompt) for prompt in prompts]
    usual = submission.generated(tables=known_coin(), prompts=others, max_new_tokens=count)
    lengths, usual_lengths = (list(map(len, sequences)) for sequences in (found, usual))
    assert lengths == usual_lengths, (
        f"with max_new_tokens = {count} came {lengths} tokens; for other prompts of these lengths, with another model "
        f"and no context_length, {usual_lengths}"
    )
    assert any(found), "no token came back"
    own = [new_tokens(prompt, sequence, count) for prompt, sequence in zip(prompts, found, strict=True)]
    expected = [right[: len(tokens)] for right, tokens in zip(case.expected, own, strict=True)]
    compare(expected, own, case.tolerance, "output")


def as_tensor(prompts, sequences, count):
    """New tokens as one tensor, as long as the shortest of them; all have to be tokens that there are."""
    tokens = [new_tokens(prompt, sequence, count) for prompt, sequence in zip(prompts, sequences, strict=True)]
    shortest = min(map(len, tokens))
    assert 2 * shortest > count, f"asked for {count} new tokens without a stop token, got {shortest}"
    for sequence in tokens:
        assert all(0 <= token < VOCAB_SIZE for token in sequence), f"tokens run from 0 to {VOCAB_SIZE - 1}: {sequence}"
    return torch.tensor([sequence[:shortest] for sequence in tokens])


def check_smallest_set(case, found):
    """The right number of tokens is left, with the right probabilities, and none is less probable than one left out.

    Which of several equally probable tokens is left, is open.
    """
    sizes = [(values > 0).sum(-1).tolist() for values in (case.expected, found)]
    assert sizes[0] == sizes[1], (
        f"for logits {case.inputs['logits'].tolist()}, temperature {case.inputs['temperature']:g} and top_p "
        f"{case.inputs['top_p']:g} the smallest sets that suffice have {sizes[0]} tokens; here {sizes[1]} are left"
    )
    compare(
        case.expected.sort(-1, descending=True).values,
        found.sort(-1, descending=True).values,
        case.tolerance,
        "output, each row sorted",
    )
    logits = case.inputs["logits"]
    lowest_in = logits.masked_fill(found == 0, float("inf")).amin(-1)
    highest_out = logits.masked_fill(found > 0, -float("inf")).amax(-1)
    assert (lowest_in >= highest_out).all(), "a token is left out and a less probable one is kept"


@pytest.mark.cases("temperature")
def test_temperature(submission, case):
    """The next token's distribution is softmax(logits / temperature).

    Asked: problem decoding: softmax with a temperature.
    """
    case.check(submission.run_next_token_probabilities(**case.inputs))


@pytest.mark.cases("nucleus")
def test_nucleus(submission, case):
    """Top-p keeps the smallest set of tokens with a mass of at least p, and divides their probabilities by the mass.

    Asked: problem decoding: top-p sampling.
    """
    case.check(submission.run_next_token_probabilities(**case.inputs))


@pytest.mark.cases("temperature_and_nucleus")
def test_temperature_before_nucleus(submission, case):
    """The nucleus is chosen after the temperature is applied.

    Asked: problem decoding: top-p is applied to the distribution that the temperature has made.
    """
    case.check(submission.run_next_token_probabilities(**case.inputs))


@pytest.mark.cases("greedy")
def test_greedy(submission, case):
    """At temperature 0, every new token is the most likely one given all tokens before it.

    Asked: problem decoding: generation goes on from a prompt, token by token; the documentation of generate.
    """
    check_tokens(submission, case, submission.generated(**case.inputs))


@pytest.mark.cases("max_new_tokens")
def test_max_new_tokens(submission, case):
    """Without a stop token, every prompt gets exactly max_new_tokens new tokens, returned without the prompt.

    Asked: problem decoding: a maximum number of generated tokens.
    """
    count = case.inputs["max_new_tokens"]
    found = submission.generated(**{**case.inputs, "temperature": 0.01})  # whether 0 works is asked elsewhere
    for prompt, sequence in zip(case.inputs["prompts"], found, strict=True):
        assert len(sequence) == count, (
            f"for a prompt of {len(prompt)} tokens and max_new_tokens = {count}, {len(sequence)} tokens came back"
        )


@pytest.mark.cases("stop_token")
def test_stop_token(submission, case):
    """A sequence ends with the stop token when it is drawn; the other sequences continue.

    Asked: problem decoding: generation stops at the end-of-text token.
    """
    stop, prompts, count = (case.inputs[name] for name in ("stop_token", "prompts", "max_new_tokens"))
    found = submission.generated(**case.inputs)
    endless = submission.generated(**{**case.inputs, "stop_token": None})
    if all(len(tokens) > count and tokens[: len(p)] == p for p, tokens in zip(prompts, endless, strict=True)):
        found, endless = ([s[len(p) :] for p, s in zip(prompts, own, strict=True)] for own in (found, endless))
    assert any(endless), "no token came back, also without a stop token"
    if any(stop in right for right in case.expected):
        assert any(stop in tokens for tokens in endless), f"token {stop} should be among those drawn, and never is"
    expected = [tokens[: tokens.index(stop) + 1] if stop in tokens else tokens for tokens in endless]
    compare(expected, found, case.tolerance, "output")


@pytest.mark.parametrize(
    ("temperature", "top_p", "kept"),
    [(1.0, 1.0, 5), (0.8, 1.0, 5), (1.0, 0.85, 3), (2.0, 0.8, 4)],
    ids=["as_it_is", "temperature", "nucleus", "temperature_and_nucleus"],
)
def test_frequencies(submission, temperature, top_p, kept):
    """Over many generated tokens, each occurs as often as its probability says.

    Asked: problem decoding: tokens are sampled from the distribution.
    """
    tables, ranked = known_chain(Draw(0, f"chain at {temperature} and {top_p}"))
    prompts = [[i % VOCAB_SIZE] for i in range(256)]
    options = {"max_new_tokens": 48, "temperature": temperature, "top_p": top_p}
    (sequences,) = submission.sampled(tables=tables, prompts=prompts, seed=11, **options)
    tokens = as_tensor(prompts, sequences, 48)

    left = PROFILE ** (1 / temperature)
    left[kept:] = 0
    expected = torch.zeros(VOCAB_SIZE, VOCAB_SIZE, dtype=torch.float64)
    expected.scatter_(1, ranked, (left / left.sum()).expand(VOCAB_SIZE, -1))
    before = torch.cat([torch.tensor(prompts), tokens[:, :-1]], dim=1)
    check_frequencies(count_pairs(before, tokens), expected, "token {j} after token {i}")


@pytest.mark.cases("different_lengths")
def test_different_lengths(submission, case):
    """Prompts of different lengths may share a call, and each continues as it would alone.

    Asked: the documentation of generate.
    """
    found = submission.generated(**case.inputs)
    assert any(found), "no token came back"
    alone = [submission.generated(**{**case.inputs, "prompts": [prompt]})[0] for prompt in case.inputs["prompts"]]
    compare(alone, found, case.tolerance, "output, beside other prompts")


@pytest.mark.cases("context")
def test_context_length(submission, case):
    """When a sequence outgrows context_length, its last context_length tokens determine the next token.

    Asked: the documentation of generate; a model takes context_length tokens.
    """
    check_tokens(submission, case, submission.generated(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("extremes")
def test_extreme_top_p(submission, case):
    """A tiny top_p keeps only the most probable token, and top_p = 1 leaves the distribution unchanged.

    Asked: problem decoding: the definition of the nucleus.
    """
    case.check(submission.run_next_token_probabilities(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("ties", "exact_mass")
def test_smallest_set(submission, case):
    """Among equally probable tokens, no more are kept than needed, and a mass of exactly p is enough.

    Asked: problem decoding: the smallest set whose mass is at least p.
    """
    found = submission.run_next_token_probabilities(**case.inputs)
    compare(case.expected, found, Tolerance(absolute=1.0))  # type, shape and finiteness
    check_smallest_set(case, found)


@pytest.mark.edge
@pytest.mark.cases("greedy_limit")
def test_low_temperatures(submission, case):
    """As the temperature approaches 0, and at 0, the largest logit gets all probability; nothing overflows.

    Asked: problem decoding: as the temperature goes to 0, the largest logit takes all; the documentation of generate.
    """
    case.check(submission.run_next_token_probabilities(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("any_shape")
def test_leading_dimensions(submission, case):
    """Logits may have any number of leading dimensions; every row has its own nucleus.

    Asked: the documentation of next_token_probabilities.
    """
    case.check(submission.run_next_token_probabilities(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("minus_infinity")
def test_minus_infinity(submission, case):
    """A logit of minus infinity gets probability 0 and does not affect the others.

    Asked: plain safety: what is masked cannot be drawn.
    """
    case.check(submission.run_next_token_probabilities(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half_precision")
def test_half_precision(submission, case):
    """bfloat16 logits are converted to float32 first, so that the nucleus is right for them, too.

    Asked: the documentation of next_token_probabilities.
    """
    logits = case.inputs["logits"].bfloat16()
    assert torch.equal(logits.float(), case.inputs["logits"]), "the case's logits do not fit into bfloat16"
    case.check(submission.run_next_token_probabilities(**{**case.inputs, "logits": logits}))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """Neither the logits nor the prompts are modified.

    Asked: plain safety: inputs belong to the caller.
    """
    case.check(inputs_after(submission, case))
    traces = greedy_traces(submission, training=False)
    assert traces["prompts"] == [[1, 2], [3]], f"the prompts [[1, 2], [3]] are {traces['prompts']} after a call"


@pytest.mark.edge
def test_draws_are_independent(submission):
    """A draw depends neither on the previous draw nor on other sequences in the batch.

    Asked: problem decoding: every token is sampled.
    """
    tables, prompts = known_coin(), [[0]] * 256
    (sequences,) = submission.sampled(tables=tables, prompts=prompts, max_new_tokens=48, seed=12)
    tokens = as_tensor(prompts, sequences, 48)
    half = tokens.shape[1] // 2
    tokens = tokens[:, : 2 * half]
    expected = COIN.expand(VOCAB_SIZE, -1)
    in_sequence = count_pairs(tokens[:, 0::2], tokens[:, 1::2])
    side_by_side = count_pairs(tokens[0::2], tokens[1::2])
    far_apart = count_pairs(tokens[:, :half], tokens[:, half:])
    check_frequencies(in_sequence, expected, "token {j} right after token {i}")
    check_frequencies(far_apart, expected, f"token {{j}} {half} draws after token {{i}}")
    check_frequencies(side_by_side, expected, "token {j} in the sequence beside that of token {i}")


COINS = {"prompts": [[i % VOCAB_SIZE] for i in range(8)], "max_new_tokens": 25}


@pytest.mark.edge
def test_generator(submission):
    """All randomness comes from the generator: only its seed decides the tokens.

    Asked: the documentation of generate.
    """
    drawing = {"tables": known_coin(), **COINS}
    (first,), (again,) = (submission.sampled(**drawing, seed=1, global_seed=seed) for seed in (5, 6))
    assert as_tensor(COINS["prompts"], first, 25).unique().numel() > 1, "all tokens are the same"
    assert first == again, "two generators with the same seed give different tokens"
    (other,) = submission.sampled(**drawing, seed=2)
    assert first != other, "generators with different seeds give the same tokens"


@pytest.mark.edge
def test_generator_moves_on(submission):
    """A second call with the same generator draws other tokens, because the generator's state has changed.

    Asked: the documentation of generate.
    """
    first, second = submission.sampled(tables=known_coin(), **COINS, seed=1, calls=2)
    assert as_tensor(COINS["prompts"], first, 25).unique().numel() > 1, "all tokens are the same"
    assert first != second, "a second call with the same generator gives the same tokens again"


@pytest.mark.edge
def test_global_generator(submission):
    """Without a generator, torch.manual_seed makes the tokens repeatable.

    Asked: the documentation of generate.
    """
    drawing = {"tables": known_coin(), **COINS, "seed": None}
    (first,), (again,), (other,) = (submission.sampled(**drawing, global_seed=seed) for seed in (1, 1, 2))
    assert as_tensor(COINS["prompts"], first, 25).unique().numel() > 1, "all tokens are the same"
    assert first == again, "after torch.manual_seed with the same seed, the tokens are different"
    assert first != other, "torch.manual_seed with another seed changes nothing"


def greedy_traces(submission, training):
    """What a short greedy call leaves behind, which has generated something."""
    tables = {"last": 5 * torch.eye(VOCAB_SIZE).roll(1, dims=1)}  # after every token the next one: 0, 1, 2, ...
    traces = submission.generation_traces(tables=tables, prompts=[[1, 2], [3]], max_new_tokens=3, training=training)
    assert all(traces["tokens"]), f"asked for 3 new tokens after [1, 2] and after [3], got {traces['tokens']}"
    changed = [name for name, value in traces["weights"].items() if not torch.equal(value, tables[name])]
    assert not changed, f"generating changed the model's parameters: {changed}"
    return traces


@pytest.mark.edge
@pytest.mark.parametrize("training", [False, True], ids=["evaluating", "training"])
def test_model_is_left_as_it_was(submission, training):
    """Afterwards, the model and its modules are in the same mode as before: training or evaluation.

    Asked: plain safety: the model belongs to the caller.
    """
    traces = greedy_traces(submission, training)
    now, then = ("training" if mode else "evaluation" for mode in (not training, training))
    assert set(traces["training"]) == {training}, f"the model was in {then} mode and has modules in {now} mode now"
    assert traces["gradients_enabled"], "gradients were enabled before the call and are not any more"


@pytest.mark.edge
def test_evaluates_without_gradients(submission):
    """The model is called in evaluation mode (no dropout) and without gradients (no memory for backward).

    Asked: the documentation of generate.
    """
    traces = greedy_traces(submission, training=True)
    assert not traces["trained"], "a model in training mode was called in training mode, where dropout is active"
    assert not traces["followed"], "the model was called with gradients enabled, and autograd kept its activations"


@pytest.mark.edge
def test_own_model(submission):
    """With your own Transformer, greedy decoding picks a largest logit of that model at every step.

    Asked: problem decoding: a decoder for your own language model.
    """
    draw = Draw(0, "own model")
    config = {"vocab_size": 20, "context_length": 8, "d_model": 8, "num_layers": 2, "num_heads": 2, "d_ff": 16}
    model = {**config, "rope_theta": 1e4}
    weights = draw_weights(draw, lm_shapes(vocab_size=20, d_model=8, num_layers=2, d_ff=16))
    prompts = [draw.integers(0, 20, length).tolist() for length in (5, 2, 7)]
    found = submission.generated_by_own_model(config=model, weights=weights, prompts=prompts, max_new_tokens=5)
    assert any(found), "asked for 5 new tokens, none came back"
    for prompt, sequence in zip(prompts, found, strict=True):
        new = new_tokens(prompt, sequence, 5)
        for i, token in enumerate(new):
            window = [*prompt, *new[:i]][-8:]
            logits = submission.run_transformer_lm(**model, weights=weights, in_indices=torch.tensor([window]))[0, -1]
            assert 0 <= token < 20, f"token {token} is none of 0 to 19"
            assert logits[token] > logits.max() - 1e-3, (
                f"after {window} your model's largest logit is that of token {int(logits.argmax())} "
                f"({logits.max():.4g}); generated was {token} ({logits[token]:.4g})"
            )


@pytest.mark.edge
def test_refuses(submission):
    """An empty prompt, a temperature below 0 and a top_p outside (0, 1] raise ValueError.

    Asked: the documentation of generate.
    """
    tables = known_coin()
    assert not submission.generation_is_refused(tables=tables, prompts=[[1]]), "the prompt [1] is refused"
    assert submission.generation_is_refused(tables=tables, prompts=[[1], []]), "an empty prompt is accepted"
    for option, value in (("temperature", -0.5), ("top_p", 0.0), ("top_p", -0.1), ("top_p", 1.5)):
        refused = submission.generation_is_refused(tables=tables, prompts=[[1]], **{option: value})
        assert refused, f"{option} = {value} is accepted"
